//! Texts that are longer than Telegram takes, in pieces that are whole: no entity, tag or character is cut.

/// What Telegram takes in one message, in UTF-16 units; counted with the markup, which is on the safe side.
pub const LONGEST: usize = 4096;

/// The pieces of a text in Telegram's HTML, in order; a tag that is open at a cut is closed there and opened again.
///
/// `longest` leaves room for the longest tag and entity; it is [`LONGEST`] outside tests.
#[must_use]
pub fn split(html: &str, longest: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for line in html.split_inclusive('\n') {
        if units(&piece) + units(line) > longest && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
        }
        if units(line) <= longest {
            piece.push_str(line);
        } else {
            let mut parts = cut(line, longest);
            piece = parts.pop().unwrap_or_default();
            pieces.append(&mut parts);
        }
    }
    pieces.push(piece);
    for piece in &mut pieces {
        piece.truncate(piece.trim_end_matches('\n').len());
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// One line that is too long by itself.
fn cut(line: &str, longest: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = line;
    while let Some(atom) = first_atom(rest) {
        rest = &rest[atom.len()..];
        let name = tag_name(atom);
        let mut still_open = open.clone();
        match (name, atom.starts_with("</")) {
            (Some(_), true) => drop(still_open.pop()),
            (Some(name), false) => still_open.push(name),
            (None, _) => {}
        }
        if units(&piece) + units(atom) + closing(&still_open).len() > longest {
            piece.push_str(&closing(&open));
            pieces.push(std::mem::replace(&mut piece, opening(&open)));
        }
        piece.push_str(atom);
        open = still_open;
    }
    pieces.push(piece);
    pieces
}

/// What must stay together at the beginning of `html`: a tag, an entity, or a character.
fn first_atom(html: &str) -> Option<&str> {
    let end = match html.chars().next()? {
        '<' => html.find('>'),
        '&' => html.find(';'),
        _ => None,
    };
    let character = html.chars().next().map_or(0, char::len_utf8);
    html.get(..end.map_or(character, |end| end + 1))
}

fn tag_name(atom: &str) -> Option<&str> {
    atom.strip_prefix('<')?.strip_suffix('>').map(|name| name.trim_start_matches('/'))
}

fn opening(tags: &[&str]) -> String {
    tags.iter().map(|tag| format!("<{tag}>")).collect()
}

fn closing(tags: &[&str]) -> String {
    tags.iter().rev().map(|tag| format!("</{tag}>")).collect()
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_one_piece_as_it_is() {
        assert_eq!(split("<b>a</b>\nb &amp; c", LONGEST), ["<b>a</b>\nb &amp; c"]);
        let full = "字".repeat(LONGEST);
        assert_eq!(split(&full, LONGEST), [full]);
    }

    #[test]
    fn a_long_text_is_cut_between_lines() {
        let lines: Vec<_> = (0..400).map(|number| format!("line {number} of a long text")).collect();
        let pieces = split(&lines.join("\n"), LONGEST);
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| units(piece) <= LONGEST && piece.starts_with("line ")));
        assert_eq!(pieces.join("\n"), lines.join("\n"), "nothing is lost");
    }

    #[test]
    fn units_are_those_of_utf_16() {
        let emoji = "🔴".repeat(3000); // two units each
        let pieces = split(&emoji, LONGEST);
        assert_eq!(pieces.iter().map(|piece| units(piece)).collect::<Vec<_>>(), [4096, 1904]);
        assert_eq!(pieces.concat(), emoji);
    }

    #[test]
    fn no_entity_and_no_tag_is_cut_at_any_length() {
        let html = format!("<b>{}</b> x &lt;{}&gt;", "&amp;".repeat(50), "🔴&amp;字".repeat(40));
        for longest in 16..300 {
            for piece in split(&html, longest) {
                assert!(units(&piece) <= longest, "{piece}");
                assert_eq!(piece.matches("<b>").count(), piece.matches("</b>").count(), "{piece}");
                let bare = piece.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                assert!(!bare.contains('&') && !bare.contains(';'), "{piece}");
            }
            let whole = split(&html, longest).concat().replace("</b><b>", "");
            assert_eq!(whole.replace("<b></b>", ""), html, "at {longest}");
        }
    }
}
