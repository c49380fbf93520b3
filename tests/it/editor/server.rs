//! A client of the language server, with as much of the protocol as the tests need.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the server is a process of its own, installed by npm; where it cannot be had, that is said"
)]

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A diagnostic.
#[derive(Debug)]
pub(crate) struct Found {
    /// From 1.
    pub(crate) line: u64,
    pub(crate) message: String,
}

/// The folder with the installed server; without Node.js there is none.
pub(crate) fn tools() -> Option<PathBuf> {
    static TOOLS: OnceLock<Option<PathBuf>> = OnceLock::new();
    TOOLS
        .get_or_init(|| {
            let is_there =
                |program: &str| Command::new(program).arg("--version").output().is_ok_and(|ran| ran.status.success());
            if is_there("node") && is_there("npm") {
                return Some(install());
            }
            println!("skipped: the YAML language server needs `node` and `npm`");
            None
        })
        .clone()
}

/// Installs what the lock file names, unless it is there. Another process may do the same at the same time.
fn install() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read(root.join("tests/editor/package-lock.json")).unwrap();
    let key = &blake3::hash(&lock).to_hex()[..16];
    let folder = root.join("target/tools").join(format!("editor-{key}"));
    if !folder.is_dir() {
        fs::create_dir_all(root.join("target/tools")).unwrap();
        let fresh = tempfile::tempdir_in(root.join("target/tools")).unwrap();
        for name in ["package.json", "package-lock.json"] {
            fs::copy(root.join("tests/editor").join(name), fresh.path().join(name)).unwrap();
        }
        let ran = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(fresh.path())
            .output()
            .unwrap();
        assert!(ran.status.success(), "npm ci: {}", String::from_utf8_lossy(&ran.stderr));
        let fresh = fresh.keep();
        if fs::rename(&fresh, &folder).is_err() {
            fs::remove_dir_all(&fresh).unwrap();
        }
    }
    assert!(folder.join("node_modules/yaml-language-server").is_dir());
    folder
}

/// Runs a script with the packages of the server; it fails by throwing.
pub(crate) fn node_script(tools: &Path, script: &str, arguments: &[&Path]) {
    let ran = Command::new("node").arg("-e").arg(script).args(arguments).current_dir(tools).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    root: String,
    settings: Value,
    count: u64,
}

impl Server {
    /// Starts it in a folder; specs say their schema themselves.
    pub(crate) fn start(root: &Path) -> Option<Self> {
        Self::launch(root, &json!({}))
    }

    /// Starts it with a schema for every YAML file.
    pub(crate) fn start_with(root: &Path, schema: &Path) -> Option<Self> {
        let uri = format!("file://{}", root.join(schema).display());
        Self::launch(root, &json!({ uri: "*.yaml" }))
    }

    fn launch(root: &Path, schemas: &Value) -> Option<Self> {
        let tools = tools()?;
        let mut process = Command::new("node")
            .arg(tools.join("node_modules/yaml-language-server/bin/yaml-language-server"))
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, messages) = channel();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            while let Some(message) = message(&mut output) {
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let input = process.stdin.take().unwrap();
        let settings = json!({ "validate": true, "completion": true, "hover": true, "schemas": schemas, "schemaStore": { "enable": false } });
        let root = format!("file://{}", root.display());
        let mut server = Self { process, input, messages, root, settings, count: 0 };
        let capabilities = json!({
            "workspace": { "configuration": true },
            "textDocument": { "completion": { "completionItem": { "snippetSupport": true } }, "hover": { "contentFormat": ["markdown"] } },
        });
        server.ask("initialize", &json!({ "processId": null, "rootUri": server.root, "capabilities": capabilities }));
        server.tell("initialized", &json!({}));
        server.tell("workspace/didChangeConfiguration", &json!({ "settings": { "yaml": server.settings } }));
        Some(server)
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.count += 1;
        let id = self.count;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let answer = self.wait(|message| message["id"] == id && message.get("method").is_none());
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The next message that is wanted; questions of the server are answered on the way.
    fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap();
            if wanted(&message) {
                return message;
            }
            if let (Some(id), Some(method)) = (message.get("id"), message.get("method")) {
                let items = message["params"]["items"].as_array().cloned().unwrap_or_default();
                let of = |item: &Value| if item["section"] == "yaml" { self.settings.clone() } else { Value::Null };
                let result =
                    if method == "workspace/configuration" { items.iter().map(of).collect() } else { Value::Null };
                let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                self.send(&answer);
            }
        }
    }

    /// Opens texts as new files of the folder: the name of each, and what is wrong with it. The server looks at files side by side.
    pub(crate) fn open_all(&mut self, texts: &[String]) -> Vec<(String, Vec<Found>)> {
        let mut files: Vec<(String, Option<Vec<Found>>)> = Vec::new();
        for text in texts {
            self.count += 1;
            let uri = format!("{}/open-{}.yaml", self.root, self.count);
            let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
            self.tell("textDocument/didOpen", &json!({ "textDocument": document }));
            files.push((uri, None));
        }
        while files.iter().any(|(_, found)| found.is_none()) {
            let told = self.wait(|message| message["method"] == "textDocument/publishDiagnostics");
            let mut of = files.iter_mut().filter(|(uri, _)| told["params"]["uri"] == *uri);
            if let Some((_, found)) = of.next() {
                *found = Some(diagnostics(&told["params"]["diagnostics"]));
            }
        }
        files.into_iter().map(|(uri, found)| (uri, found.unwrap())).collect()
    }

    /// The same with one text.
    pub(crate) fn open(&mut self, text: &str) -> (String, Vec<Found>) {
        self.open_all(&[text.to_owned()]).remove(0)
    }

    /// Asks about the place of the `|` in a text.
    fn at(&mut self, text: &str, method: &str) -> Value {
        let (before, after) = text.split_once('|').unwrap();
        let line = before.matches('\n').count();
        let character = before.rsplit('\n').next().unwrap().encode_utf16().count();
        let (uri, _) = self.open(&format!("{before}{after}"));
        self.ask(
            method,
            &json!({ "textDocument": { "uri": uri }, "position": { "line": line, "character": character } }),
        )
    }

    /// What is offered there: labels, and the texts that are put in.
    pub(crate) fn complete(&mut self, text: &str) -> Vec<(String, String)> {
        let answer = self.at(text, "textDocument/completion");
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        items.iter().map(|item| (text(&item["label"]), text(&item["insertText"]))).collect()
    }

    /// What is shown there.
    pub(crate) fn hover(&mut self, text: &str) -> String {
        self.at(text, "textDocument/hover")["contents"]["value"].as_str().unwrap_or_default().to_owned()
    }
}

fn diagnostics(told: &Value) -> Vec<Found> {
    let found = told.as_array().unwrap().iter().map(|found| Found {
        line: found["range"]["start"]["line"].as_u64().unwrap() + 1,
        message: found["message"].as_str().unwrap().to_owned(),
    });
    let mut found: Vec<Found> = found.collect();
    found.sort_by_key(|found| found.line);
    found
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next message, or nothing at the end.
fn message(from: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim() {
            "" => break,
            line => {
                if let Some(count) = line.strip_prefix("Content-Length: ") {
                    length = count.parse().ok()?;
                }
            }
        }
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
