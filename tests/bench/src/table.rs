//! Medians as a Markdown table.

use std::fmt::Write as _;

use crate::proxies::Proxy;
use crate::rows::{Row, Sample, Unit};

/// The results of a run.
#[derive(Debug)]
pub(crate) struct Table {
    machine: String,
    cells: Vec<Cell>,
}

/// The turns of one proxy in one row; an error voids them all.
#[derive(Debug)]
struct Cell {
    row: &'static Row,
    proxy: Proxy,
    turns: Result<Vec<Sample>, anyhow::Error>,
}

impl Table {
    /// An empty one, with a line on the machine.
    pub(crate) fn new(machine: String) -> Self {
        Self { machine, cells: Vec::new() }
    }

    /// Enters the outcome of one turn.
    pub(crate) fn enter(&mut self, row: &'static Row, proxy: Proxy, outcome: anyhow::Result<Sample>) {
        let known = self.cells.iter().position(|cell| cell.row.key == row.key && cell.proxy == proxy);
        let known = known.unwrap_or_else(|| {
            self.cells.push(Cell { row, proxy, turns: Ok(Vec::new()) });
            self.cells.len() - 1
        });
        let turns = &mut self.cells[known].turns;
        match (turns.as_mut(), outcome) {
            (Ok(turns), Ok(sample)) => turns.push(sample),
            (Ok(_), Err(error)) => *turns = Err(error),
            (Err(_), _) => {}
        }
    }

    /// Two tables: what each proxy costs with its ratio to nginx, and how fast it went.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}\n\nMedians; in brackets the ratio to nginx; ± half the distance between the best and the worst round.\n\n",
            self.machine
        );
        self.write_table(&mut text, "unit", |row| unit(row.unit), |cell| Some(self.cost(cell)));
        text.push_str(
            "\nWork completed a second; in brackets the share of its core that the proxy used.\n\n",
        );
        self.write_table(&mut text, "", |_| "", pace);
        let others = self.cells.iter().flat_map(|cell| cell.turns.iter().flatten());
        let others = others.filter_map(|turn| turn.pace).map(|pace| pace.others).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "\nOther programs and the hypervisor took at most {:.0} % of a core during a turn that is counted here.",
            100.0 * others
        );
        for cell in &self.cells {
            if let Err(error) = &cell.turns {
                let _ = write!(text, "\nvoid: {}, {}: {error:#}\n", cell.row.key, cell.proxy.name());
            }
        }
        text
    }

    fn write_table(
        &self,
        text: &mut String,
        second: &str,
        unit: impl Fn(&Row) -> &'static str,
        print: impl Fn(&Cell) -> Option<String>,
    ) {
        let proxies = self.distinct(|cell| cell.proxy.name());
        let mut lines = vec![format!("| row | {second} | {} |", proxies.join(" | "))];
        lines.push(format!("|---|---|{}", "---:|".repeat(proxies.len())));
        for key in self.distinct(|cell| cell.row.key) {
            let cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.row.key == key).collect();
            let of = |name: &&str| cells.iter().find(|cell| cell.proxy.name() == *name);
            let printed: Option<Vec<String>> = proxies
                .iter()
                .map(|name| of(name).map_or_else(|| Some("–".to_owned()), |cell| print(cell)))
                .collect();
            if let Some(printed) = printed {
                lines.push(format!(
                    "| {} | {} | {} |",
                    cells[0].row.title,
                    unit(cells[0].row),
                    printed.join(" | ")
                ));
            }
        }
        text.push_str(&lines.join("\n"));
        text.push('\n');
    }

    fn distinct(&self, name: impl Fn(&Cell) -> &'static str) -> Vec<&'static str> {
        let mut names = Vec::new();
        for name in self.cells.iter().map(name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn cost(&self, cell: &Cell) -> String {
        let Ok(turns) = &cell.turns else {
            return "void".to_owned();
        };
        let nginx =
            self.cells.iter().find(|other| other.row.key == cell.row.key && other.proxy == Proxy::Nginx);
        let nginx =
            nginx.and_then(|nginx| nginx.turns.as_ref().ok()).map(|turns| median(turns, |turn| turn.cost));
        let cost = median(turns, |turn| turn.cost);
        let ratio = match nginx {
            Some(nginx) if cell.proxy != Proxy::Nginx && nginx > 0.0 => format!(" ({:.2})", cost / nginx),
            Some(_) | None => String::new(),
        };
        let spread = match turns.len() {
            0 | 1 => String::new(),
            _ => format!(" ±{:.0} %", 100.0 * spread(turns)),
        };
        format!("{}{ratio}{spread}", figure(cell.row.unit, cost))
    }
}

/// One turn for the person who watches.
pub(crate) fn brief(row: &Row, outcome: &anyhow::Result<Sample>) -> String {
    match outcome {
        Ok(sample) => {
            let pace = sample.pace.map(|pace| {
                format!(
                    ", {:.0}/s, busy {:.0} %, others {:.0} %",
                    pace.rate,
                    100.0 * pace.busy,
                    100.0 * pace.others
                )
            });
            format!("{} {}{}", figure(row.unit, sample.cost), unit(row.unit), pace.unwrap_or_default())
        }
        Err(error) => format!("void: {error:#}"),
    }
}

fn pace(cell: &Cell) -> Option<String> {
    let Ok(turns) = &cell.turns else {
        return Some("void".to_owned());
    };
    let paces: Vec<_> = turns.iter().filter_map(|turn| turn.pace).collect();
    let rate = median(&paces, |pace| pace.rate);
    let digits = if rate < 100.0 { 1 } else { 0 };
    (!paces.is_empty())
        .then(|| format!("{rate:.digits$} ({:.0} %)", 100.0 * median(&paces, |pace| pace.busy)))
}

fn median<T>(items: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = items.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => f64::NAN,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(*upper, values[middle - 1]),
    }
}

/// Half the distance between the best and the worst turn, as a share of the median.
fn spread(turns: &[Sample]) -> f64 {
    let costs = || turns.iter().map(|turn| turn.cost);
    let distance = costs().fold(f64::MIN, f64::max) - costs().fold(f64::MAX, f64::min);
    let middle = median(turns, |turn| turn.cost);
    if middle > 0.0 { distance / 2.0 / middle } else { 0.0 }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::CpuMicros => "µs CPU",
        Unit::CpuMillis => "ms CPU",
        Unit::Micros => "µs",
        Unit::Millis => "ms",
        Unit::Bytes => "bytes",
        Unit::Mebibytes => "MiB",
    }
}

fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::CpuMicros | Unit::Micros => format!("{:.1}", value * 1e6),
        Unit::CpuMillis | Unit::Millis => format!("{:.1}", value * 1e3),
        Unit::Bytes => format!("{value:.0}"),
        Unit::Mebibytes => format!("{:.1}", value / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    fn took(seconds: f64) -> anyhow::Result<Sample> {
        Ok(Sample { cost: seconds, pace: None })
    }

    #[test]
    fn medians_stand_beside_their_ratio_to_nginx() {
        let mut table = Table::new(String::new());
        for seconds in [10e-6, 30e-6, 20e-6] {
            table.enter(&ROWS[0], Proxy::Doorman, took(seconds));
            table.enter(&ROWS[0], Proxy::Nginx, took(2.0 * seconds));
        }
        assert!(table.to_markdown().contains("| 20.0 (0.50) ±50 % | 40.0 ±50 % |"));
    }

    #[test]
    fn one_wrong_turn_voids_the_cell_for_good() {
        let mut table = Table::new(String::new());
        table.enter(&ROWS[0], Proxy::Doorman, took(1e-6));
        table.enter(&ROWS[0], Proxy::Doorman, Err(anyhow::anyhow!("wrong byte")));
        table.enter(&ROWS[0], Proxy::Doorman, took(1e-6));
        let text = table.to_markdown();
        assert!(text.contains("| void |") && text.contains("doorman: wrong byte"), "{text}");
    }
}
