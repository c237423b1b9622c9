//! The program `homing-server`: flags, settings, tokens, signals.

use crate::socket::{Socket, fetch};
use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_homing-server"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    program(arguments).envs(environment.iter().copied()).output().unwrap()
}

struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("homing-{}-{name}", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Started(Child, SocketAddr);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Started {
    let mut child = program(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    Started(child, address)
}

#[test]
fn check_config_names_the_key_that_is_wrong() {
    let good = File::new("good.toml", "[client]\ninsecure = true\n");
    assert!(run(&["check-config", "--config", good.path()], &[]).status.success());
    assert!(run(&["check-config"], &[]).status.success());
    let bad = File::new("bad.toml", "[client]\nping_interval = \"soon\"\n");
    for arguments in [&["check-config", "--config", bad.path()][..], &["--config", bad.path()]] {
        let output = run(arguments, &[]);
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("client.ping_interval"), "{error}");
    }
    let output = run(&["check-config"], &[("HOMING_CLIENT_INSECURE", "perhaps")]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("HOMING_CLIENT_INSECURE"));
    let output = run(&["check-config", "--config", "/nowhere/at/all.toml"], &[]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere/at/all.toml"));
    let output = run(&["--listen", "nonsense"], &[]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("--listen"));
}

#[tokio::test]
async fn a_token_of_the_program_lets_in() {
    let file = File::new(
        "token.json",
        r#"{"client":{"token":{"hmac_secret_key":"s3cret"}},"channel":{"namespaces":[{"name":"chat"}]}}"#,
    );
    let output = run(
        &["token", "--config", file.path(), "--user", "ada", "--channels", "chat:a", "--info", r#"{"n":1}"#],
        &[],
    );
    let token = String::from_utf8(output.stdout).unwrap();
    let server = start(&["--config", file.path(), "--listen", "127.0.0.1:0"]);
    let mut socket = Socket::open_at(server.1, "/connection/websocket", b"").await;
    let result =
        socket.call("connect", &format!(r#"{{"token":"{}"}}"#, token.trim())).await["connect"].clone();
    assert_eq!(result["homing"]["user"], "ada");
    assert!(result["subs"]["chat:a"].is_object());
    let output = run(&["token", "--user", "ada"], &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("client.token.hmac_secret_key"), "{error}");
}

#[tokio::test]
async fn a_signal_drains_and_ends_the_program() {
    let folder = std::env::temp_dir().join(format!("homing-static-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index.html"), "<h1>doves</h1>").unwrap();
    let file = File::new("drain.toml", "[shutdown]\ndrain_window = \"100ms\"\n[client]\ninsecure = true\n");
    let arguments =
        ["--config", file.path(), "--listen", "127.0.0.1:0", "--static-dir", folder.to_str().unwrap()];
    let mut server = start(&arguments);
    assert!(fetch(server.1, "/").await.1.ends_with("<h1>doves</h1>"));
    assert_eq!(fetch(server.1, "/../etc/passwd").await.0, 404);
    let mut socket = Socket::open_at(server.1, "/connection/websocket", b"").await;
    socket.call("connect", "{}").await;
    let killed = Command::new("kill").arg(server.0.id().to_string()).status().unwrap();
    assert!(killed.success());
    let (code, _, pushes) = socket.close().await;
    assert_eq!(code, 3001);
    assert!(pushes.last().unwrap()["push"]["disconnect"]["retry_after"].as_u64().unwrap() > 0);
    drop(socket);
    let status = tokio::task::spawn_blocking(move || server.0.wait().unwrap()).await.unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn logs_tell_who_was_refused_and_never_a_token() {
    use std::io::Read;
    let file =
        File::new("log.toml", "[log]\nlevel = \"trace\"\n[client.token]\nhmac_secret_key = \"s3cret\"\n");
    let mut server = start(&["--config", file.path(), "--listen", "127.0.0.1:0"]);
    let token =
        String::from_utf8(run(&["token", "--config", file.path(), "--user", "ada"], &[]).stdout).unwrap();
    let mut socket = Socket::open_at(server.1, "/connection/websocket", b"").await;
    socket.call("connect", &format!(r#"{{"token":"{}"}}"#, token.trim())).await;
    let mut socket = Socket::open_at(server.1, "/connection/websocket", b"").await;
    let forged = format!("{}x", token.trim());
    socket.send(&format!(r#"{{"id":1,"connect":{{"token":"{forged}"}}}}"#)).await;
    assert_eq!(socket.close().await.0, 3500);
    let head = crate::socket::handshake("/connection/websocket", "Origin: https://evil.example\r\n");
    assert_eq!(crate::socket::request(server.1, &head).await.0, 403);
    server.0.kill().unwrap();
    let mut log = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("https://evil.example"), "{log}");
    assert!(log.contains("connection refused"), "{log}");
    for part in token.trim().split('.') {
        assert!(!log.contains(part), "{log}");
    }
    assert!(!log.contains("s3cret"), "{log}");
}
