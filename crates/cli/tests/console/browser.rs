//! A real Chromium, by chromedriver on a free port: what it shows, says in its console, and asks the network for.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// What must be installed for this.
const NEEDED: &str = "Debian's chromium and chromium-driver are needed: scripts/setup --packages --tests";
/// What axe-core finds is graded; these grades shut somebody out.
const GRAVE: [&str; 2] = ["serious", "critical"];

pub struct Browser {
    pub client: Client,
    driver: Child,
    address: String,
    profile: PathBuf,
    http: reqwest::Client,
}

impl Browser {
    /// Starts one with its own profile below `folder`; `scripts` off is for those who browse without.
    pub async fn start(folder: &Path, scripts: bool) -> Self {
        let profile = folder.join("profile");
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = driver.expect(NEEDED);
        let said = BufReader::new(driver.stdout.take().expect("it is piped"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("started successfully on port ")?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = format!("http://127.0.0.1:{}", port.expect("chromedriver says its port"));
        let mut options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--hide-scrollbars", "--window-size=1280,1000",
                format!("--user-data-dir={}", profile.display()),
            ],
            "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false },
        });
        if !scripts {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let wanted = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let wanted = wanted.as_object().expect("it is an object").clone();
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&address).await;
        let client = client.unwrap_or_else(|error| panic!("{error}; {NEEDED}"));
        let browser = Self { client, driver, address, profile, http: reqwest::Client::new() };
        // Chromium's own first page asks for a lot; that is not ours.
        browser.open("about:blank").await;
        browser.asked().await;
        browser
    }

    /// A command of chromedriver's own.
    async fn own(&self, path: &str, body: Value) -> Value {
        let session = self.client.session_id().await.expect("it has a session").expect("it has a session");
        let url = format!("{}/session/{session}/{path}", self.address);
        let answer = self.http.post(url).json(&body).send().await.expect("chromedriver answers");
        let answer: Value = answer.json().await.expect("it answers with JSON");
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    /// A command of the developer tools.
    pub async fn tools(&self, command: &str, parameters: Value) -> Value {
        self.own("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// What was written to the page's console since the last call, as `LEVEL text`.
    pub async fn said(&self) -> Vec<String> {
        let lines = self.own("se/log", json!({ "type": "browser" })).await;
        let lines = lines.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| format!("{} {}", line["level"], line["message"])).collect()
    }

    /// What was asked of the network since the last call: addresses, and bytes that came.
    pub async fn asked(&self) -> (Vec<String>, u64) {
        let lines = self.own("se/log", json!({ "type": "performance" })).await;
        let (mut addresses, mut bytes) = (Vec::new(), 0.0);
        for line in lines.as_array().cloned().unwrap_or_default() {
            let text = line["message"].as_str().unwrap_or_default();
            let message: Value = serde_json::from_str(text).unwrap_or_default();
            let parameters = &message["message"]["params"];
            match message["message"]["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    addresses.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned());
                }
                "Network.loadingFinished" => bytes += parameters["encodedDataLength"].as_f64().unwrap_or_default(),
                _ => {}
            }
        }
        (addresses, bytes as u64)
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The text of the page as a person reads it; nothing between two pages.
    pub async fn text(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the page shows `what`; returns the time it took.
    pub async fn see(&self, what: &str, within: Duration) -> Duration {
        let began = Instant::now();
        let mut text = String::new();
        while began.elapsed() < within {
            text = self.text().await;
            if text.contains(what) {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what:?} did not come within {within:?}; there is: {text}");
    }

    /// Clicks what `selector` finds first.
    pub async fn click(&self, selector: &str) {
        let found = self.client.find(Locator::Css(selector)).await;
        let found = found.unwrap_or_else(|error| panic!("{selector}: {error}"));
        found.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Types into what `selector` finds first.
    pub async fn write(&self, selector: &str, text: &str) {
        let found = self.client.find(Locator::Css(selector)).await;
        found
            .unwrap_or_else(|error| panic!("{selector}: {error}"))
            .send_keys(text)
            .await
            .expect("it can be typed into");
    }

    /// What axe-core finds on the page that shuts somebody out.
    pub async fn barriers(&self) -> Vec<String> {
        // As a command of the tools: the page's own policy lets no script in, and that is what it is for.
        self.tools("Runtime.evaluate", json!({ "expression": include_str!("../axe/axe.min.js") })).await;
        let run = json!({ "expression": "axe.run().then((it) => JSON.stringify(it.violations))", "awaitPromise": true, "returnByValue": true });
        let found = self.tools("Runtime.evaluate", run).await;
        let text = found["result"]["value"].as_str().unwrap_or_else(|| panic!("axe says {found}"));
        let found: Vec<Value> = serde_json::from_str(text).expect("a list");
        let grave = found.iter().filter(|it| GRAVE.contains(&it["impact"].as_str().unwrap_or_default()));
        grave.map(|it| format!("{}: {} at {}", it["id"], it["help"], it["nodes"][0]["html"])).collect()
    }

    /// Makes the page so wide and high, in pixels; `None` gives it back its own size.
    pub async fn size(&self, size: Option<(u32, u32)>) {
        match size {
            Some((width, height)) => {
                let metrics =
                    json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
                self.tools("Emulation.setDeviceMetricsOverride", metrics).await;
            }
            None => drop(self.tools("Emulation.clearDeviceMetricsOverride", json!({})).await),
        }
    }

    /// Shows the page as for somebody who likes it light or dark; empty for what the machine says.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A picture of what the window shows.
    pub async fn picture(&self, path: &Path) {
        tokio::time::sleep(Duration::from_millis(400)).await;
        std::fs::write(path, self.client.screenshot().await.expect("a picture")).expect("it can be written");
    }

    pub async fn stop(mut self) {
        let _ = self.client.clone().close().await;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    /// A test that failed leaves no browser behind: those that use this profile are this one.
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let ours = format!("--user-data-dir={}", self.profile.display());
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&command).split(['\0', ' ']).any(|word| word == ours);
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).filter(|_| is_ours) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}
