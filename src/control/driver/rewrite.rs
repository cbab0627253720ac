//! The same pair in the files, as other bytes: Xray then reads it again.

use std::sync::Arc;

use super::Driver;
use crate::control::pair::Pair;

/// Line ends at the end of a chain, after which it begins anew with one.
const MOST_LINE_ENDS: usize = 32;

impl Driver {
    /// Whether it was done: not while another pair is on its way.
    pub(super) async fn rewrite(&mut self, fingerprint: &str) -> bool {
        let Some(pair) = self.managed.clone().filter(|it| it.facts.fingerprint_sha256 == fingerprint) else {
            return false;
        };
        if self.issued.is_some() {
            return false;
        }
        let pair = Arc::new(with_another_line_end(&pair));
        let written = Arc::clone(&pair);
        if let Err(error) = self.store.off_thread(move |store| store.rewrite(&written)).await {
            tracing::warn!(%error, "the pair could not be written again");
            return false;
        }
        self.managed = Some(Arc::clone(&pair));
        self.mend_export().await;
        self.installed.send_replace(Some(pair));
        true
    }
}

fn with_another_line_end(pair: &Pair) -> Pair {
    let bare = pair.chain_pem.trim_end_matches('\n');
    let line_ends = pair.chain_pem.len() - bare.len();
    let wanted = if line_ends >= MOST_LINE_ENDS { 1 } else { line_ends + 1 };
    Pair {
        chain_pem: format!("{bare}{}", "\n".repeat(wanted)),
        key_pem: pair.key_pem.clone(),
        facts: pair.facts.clone(),
        certified: Arc::clone(&pair.certified),
    }
}
