//! Which pages may connect, by the origin that their browser names. `*` in a pattern stands for anything.

/// The origins that may connect.
#[derive(Clone, Debug)]
pub struct Origins {
    patterns: Vec<String>,
}

impl Origins {
    /// These patterns, compared without regard to case.
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect() }
    }

    /// Whether a page of `origin` may connect to a server that it calls `host`. A page of the server's own
    /// origin may always; a request without an origin comes from no page.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        let own = origin.split_once("://").map(|(_, authority)| authority);
        if own.is_some() && own == host.map(str::to_ascii_lowercase).as_deref() {
            return true;
        }
        self.patterns.iter().any(|pattern| matches(pattern, &origin))
    }
}

fn matches(pattern: &str, origin: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| origin.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        let Some(at) = rest.find(part) else { return false };
        // The last part has to end the origin; `ends_with` below sees to it where it occurs earlier too.
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
        || open
        || (pattern.contains('*') && origin.ends_with(pattern.rsplit('*').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str], origin: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Origins::new(&patterns).allow(Some(origin), Some("chat.example.org"))
    }

    #[test]
    fn patterns_stand_for_origins() {
        assert!(allowed(&["https://a.example"], "https://A.example"));
        assert!(!allowed(&["https://a.example"], "https://a.example.evil"));
        assert!(!allowed(&["https://a.example"], "https://b.example"));
        assert!(allowed(&["https://*.a.example"], "https://x.a.example"));
        assert!(!allowed(&["https://*.a.example"], "https://x.a.example.evil"));
        assert!(allowed(&["https://*.a.example"], "https://x.a.example.y.a.example"));
        assert!(allowed(&["http://localhost:*"], "http://localhost:5173"));
        assert!(!allowed(&["http://localhost:*"], "http://localhost.evil:5173"));
        assert!(allowed(&["*"], "null"));
        assert!(!allowed(&[], "https://a.example"));
    }

    #[test]
    fn the_own_origin_and_programs_pass() {
        assert!(allowed(&[], "https://chat.example.org"));
        assert!(Origins::new(&[]).allow(None, None));
    }
}
