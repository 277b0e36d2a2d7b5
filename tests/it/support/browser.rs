//! A headless Chromium, told what to do through its debugging pipe.

#![expect(
    clippy::disallowed_methods,
    reason = "tests look for programs and start them"
)]
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

/// The browser with one page; it ends with this.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    orders: PipeWriter,
    answers: PipeReader,
    unread: Vec<u8>,
    session: Option<String>,
    last: u64,
    /// What the page complained of: errors of scripts, and what its policy kept out.
    pub(crate) complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

/// Where it is installed.
fn program() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .flat_map(|folder| {
            ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name))
        })
        .find(|program| program.symlink_metadata().is_ok())
}

impl Browser {
    /// Starts it; `None` where there is none.
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        let (theirs_in, orders) = std::io::pipe().unwrap();
        let (answers, theirs_out) = std::io::pipe().unwrap();
        let child = Command::new("timeout")
            .args([
                "300",
                "sh",
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null",
            ])
            .arg(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(theirs_in)
            .stdout(theirs_out)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut browser = Self {
            child,
            orders,
            answers,
            unread: Vec::new(),
            session: None,
            last: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.order("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page.enable", "Log.enable", "Runtime.enable"] {
            browser.order(domain, &json!({}));
        }
        Some(browser)
    }

    /// Tells it to do something, and gives back what it answers.
    pub(crate) fn order(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut order = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        self.orders
            .write_all(format!("{order}\0").as_bytes())
            .unwrap();
        loop {
            let message = self.message();
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            match message["method"].as_str() {
                Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                    self.complaints.push(message["params"]["entry"].to_string());
                }
                Some("Runtime.exceptionThrown") => {
                    self.complaints.push(message["params"].to_string());
                }
                _ => {}
            }
        }
    }

    fn message(&mut self) -> Value {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == 0) {
                let rest = self.unread.split_off(end + 1);
                let message = std::mem::replace(&mut self.unread, rest);
                return serde_json::from_slice(&message[..end]).unwrap();
            }
            let mut some = [0; 8192];
            let count = self.answers.read(&mut some).unwrap();
            assert!(count > 0, "the browser has ended");
            self.unread.extend_from_slice(&some[..count]);
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        self.order("Runtime.evaluate", &parameters)["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        while self.value(expression) != true {
            let page = self.value("document.documentElement.outerHTML");
            assert!(
                Instant::now() < until,
                "{expression} is not so: {page} {:?}",
                self.complaints
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Opens an address on a screen of this width, with scripts or without.
    pub(crate) fn open(&mut self, address: &str, width: u32, dark: bool, scripts: bool) {
        let screen =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.order("Emulation.setDeviceMetricsOverride", &screen);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.order("Emulation.setEmulatedMedia", &media);
        self.order(
            "Emulation.setScriptExecutionDisabled",
            &json!({"value": !scripts}),
        );
        self.order("Page.navigate", &json!({"url": address}));
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// A picture of the whole page, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.order("Page.captureScreenshot", &whole);
        let text = picture["data"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // `timeout` passes on what ends it; the browser is its child and ends with the pipe as well.
        let _ended = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        self.child.wait().unwrap();
    }
}
