//! What the Python tools' environment variables mean. The variables are looked up by the program: the library reads none.

use std::path::PathBuf;
use std::time::Duration;

use super::HubConfig;

/// The folder for everything of the hub: `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME` or in the home's `.cache`.
fn home(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let user = || variable("HOME").or_else(|| variable("USERPROFILE")).map(|h| PathBuf::from(h).join(".cache"));
    let cache = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(user);
    variable("HF_HOME").map(PathBuf::from).or_else(|| cache().map(|c| c.join("huggingface")))
}

/// The hub cache: `HF_HUB_CACHE`, else `hub` in the folder of `HF_HOME`. `None` where not even a home is known.
pub fn cache_folder(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    variable("HF_HUB_CACHE").map(PathBuf::from).or_else(|| home(&variable).map(|h| h.join("hub")))
}

impl HubConfig {
    /// From `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` (or the stored token) and `HF_HUB_OFFLINE`. `None` where no cache
    /// folder is known.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let stored = || {
            let token = std::fs::read_to_string(home(&variable)?.join("token")).ok()?;
            Some(token.trim().to_owned()).filter(|t| !t.is_empty())
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|v| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"));
        Some(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: variable("HF_TOKEN").or_else(stored),
            cache: cache_folder(&variable)?,
            offline,
            retries: 5,
            longest_wait: Duration::from_secs(120),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_mean_what_they_mean_to_the_python_tools() {
        let with = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        for (pairs, folder) in [
            (&[("HOME", "/h")][..], "/h/.cache/huggingface/hub"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
            (&[("HOME", "/h"), ("HF_HOME", "/f"), ("XDG_CACHE_HOME", "/c")], "/f/hub"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/b")], "/b"),
            (&[("HOME", "/h"), ("HF_HOME", "")], "/h/.cache/huggingface/hub"),
        ] {
            assert_eq!(cache_folder(&with(pairs)), Some(PathBuf::from(folder)), "{pairs:?}");
        }
        assert!(HubConfig::from_variables(&with(&[])).is_none());
        let config = HubConfig::from_variables(&with(&[
            ("HOME", "/h"),
            ("HF_ENDPOINT", "http://here:1/"),
            ("HF_TOKEN", "t"),
            ("HF_HUB_OFFLINE", "yes"),
        ]));
        let config = config.unwrap();
        assert_eq!(
            (config.endpoint.as_str(), config.token.as_deref(), config.offline),
            ("http://here:1", Some("t"), true)
        );
    }
}
