//! The fault proxy as a program, for tests that are not written in Rust: it prints its two addresses as one
//! line of JSON, then obeys commands, one a line, from connections to its control port and from its
//! standard input. Each is answered with a line, `ok` or `error …`; `status` answers with JSON.
//! It ends when its standard input does, so that it never outlives the test that started it.
#![expect(clippy::print_stdout, reason = "its addresses are its output")]

use std::net::SocketAddr;
use std::sync::Arc;

use homing_tests::proxy::{Command, FaultProxy};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: fault-proxy UPSTREAM_ADDRESS [LISTEN_ADDRESS]";
    let upstream: SocketAddr = arguments.next().ok_or(usage)?.parse()?;
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());

    let proxy = Arc::new(FaultProxy::start_on(&listen, upstream).await?);
    let control = TcpListener::bind("127.0.0.1:0").await?;
    println!(r#"{{"listen":"{}","control":"{}"}}"#, proxy.address(), control.local_addr()?);

    let shared = Arc::clone(&proxy);
    tokio::spawn(async move {
        while let Ok((socket, _)) = control.accept().await {
            let (read, write) = socket.into_split();
            let proxy = Arc::clone(&shared);
            tokio::spawn(async move { obey(&proxy, read, write).await });
        }
    });
    obey(&proxy, tokio::io::stdin(), tokio::io::stdout()).await?;
    Ok(())
}

async fn obey(
    proxy: &FaultProxy,
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match line.trim() {
            "status" => format!(
                r#"{{"open":{},"accepted":{}}}"#,
                proxy.open_connections(),
                proxy.accepted_connections()
            ),
            command => match command.parse::<Command>() {
                Ok(command) => {
                    proxy.apply(command);
                    "ok".to_owned()
                }
                Err(error) => format!("error {error}"),
            },
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        write.flush().await?;
    }
    Ok(())
}
