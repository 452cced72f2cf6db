//! A headless Chromium, controlled by its DevTools protocol.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value as Json, json};
use tungstenite::{Message, WebSocket};

/// A page in a browser, which is terminated on drop.
pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    calls: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with a window of 1280 x 900 pixels; `None` if Chromium is not installed.
    pub fn start() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let is_installed = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
        let Some(program) = names.iter().find(is_installed) else {
            eprintln!("skipped: needs Chromium");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--remote-debugging-port=0", "--window-size=1280,900", "--hide-scrollbars"])
            // Without any network access.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let (port, path) = loop {
            let text = std::fs::read_to_string(profile.path().join("DevToolsActivePort")).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n') {
                break (port.to_owned(), path.trim().to_owned());
            }
            assert!(start.elapsed() < Duration::from_secs(60), "Chromium does not start");
            std::thread::sleep(Duration::from_millis(20));
        };
        let address = format!("127.0.0.1:{port}");
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}{path}"), stream).unwrap();
        let mut browser = Self { process, socket, session: None, calls: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser.call("Page.enable", json!({}));
        let listen = "window.problems = []; addEventListener('error', event => problems.push(event.message)); \
            addEventListener('unhandledrejection', event => problems.push(String(event.reason)));";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": listen }));
        Some(browser)
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, parameters: Json) -> Json {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let mut response: Json = serde_json::from_str(&text).unwrap();
            if response["id"] == self.calls {
                assert!(response["error"].is_null(), "{method}: {}", response["error"]);
                return response["result"].take();
            }
        }
    }

    /// Opens a file and waits until it is rendered.
    pub fn open(&mut self, file: &Path) {
        let url = format!("file://{}", file.canonicalize().unwrap().display());
        self.call("Page.navigate", json!({ "url": url }));
        let is_rendered = "new Promise(done => { const ask = () => document.readyState === 'complete' \
            && location.protocol === 'file:' ? requestAnimationFrame(() => requestAnimationFrame(() => done(true))) \
            : setTimeout(ask, 2); ask(); })";
        assert_eq!(self.evaluate(is_rendered), json!(true));
    }

    /// Evaluates an expression, or the promise that it returns.
    pub fn evaluate(&mut self, expression: &str) -> Json {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut response = self.call("Runtime.evaluate", parameters);
        assert!(response["exceptionDetails"].is_null(), "{expression}: {}", response["exceptionDetails"]);
        response["result"]["value"].take()
    }

    /// Moves the pointer, and optionally clicks.
    pub fn point(&mut self, (x, y): (f64, f64), press: bool) {
        let kinds: &[&str] = if press { &["mouseMoved", "mousePressed", "mouseReleased"] } else { &["mouseMoved"] };
        for kind in kinds {
            let button = if *kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Clicks the centre of the first element that matches a selector, after scrolling it into view.
    pub fn click(&mut self, selector: &str) {
        let centre = self.centre_of(selector);
        self.point(centre, true);
    }

    /// Returns the centre of an element, after scrolling it into view.
    pub fn centre_of(&mut self, selector: &str) -> (f64, f64) {
        let centre = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
            Json::from(selector)
        ));
        (centre[0].as_f64().unwrap(), centre[1].as_f64().unwrap())
    }

    /// Saves a screenshot of the whole page.
    pub fn screenshot(&mut self, path: &Path) {
        let screenshot =
            self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "fromSurface": true }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(screenshot["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
