//! The fault proxy itself: what it promises to do to bytes, over real sockets.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use homing_tests::proxy::{Command, Direction, FaultProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const DEADLINE: Duration = Duration::from_secs(10);

async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    address
}

async fn connected() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::start(echo_server().await).await.unwrap();
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut pair = (proxy, client);
    assert_eq!(echoed(&mut pair.1, b"hello").await, b"hello");
    pair
}

async fn echoed(client: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    client.write_all(bytes).await.unwrap();
    let mut answer = vec![0; bytes.len()];
    timeout(DEADLINE, client.read_exact(&mut answer)).await.expect("an echo in time").unwrap();
    answer
}

async fn end_of(client: &mut TcpStream) -> Result<usize, ErrorKind> {
    let mut byte = [0];
    timeout(DEADLINE, client.read(&mut byte)).await.expect("an end in time").map_err(|error| error.kind())
}

#[tokio::test]
async fn bytes_pass_unchanged() {
    let (_proxy, mut client) = connected().await;
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let (mut read, mut write) = client.split();
    let mut answer = vec![0; bytes.len()];
    let both = async { tokio::try_join!(write.write_all(&bytes), read.read_exact(&mut answer)) };
    timeout(DEADLINE, both).await.expect("all bytes in time").unwrap();
    assert_eq!(answer, bytes);
}

#[tokio::test]
async fn a_cut_ends_orderly_and_a_reset_does_not() {
    let (proxy, mut client) = connected().await;
    proxy.cut();
    assert_eq!(end_of(&mut client).await, Ok(0));

    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echoed(&mut client, b"again").await, b"again");
    proxy.reset();
    assert_eq!(end_of(&mut client).await, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_network_that_is_down_lets_nobody_in_until_it_is_cleared() {
    let (proxy, mut client) = connected().await;
    proxy.apply("down".parse().unwrap());
    assert!(end_of(&mut client).await.is_err());
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(end_of(&mut refused).await.is_err());
    proxy.clear();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echoed(&mut client, b"back").await, b"back");
}

#[tokio::test]
async fn a_half_close_leaves_the_other_direction_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut server, _) = timeout(DEADLINE, listener.accept()).await.expect("a connection in time").unwrap();
    client.write_all(b"a").await.unwrap();
    assert_eq!(end_of(&mut server).await, Ok(1));

    proxy.half_close(Direction::Down);
    assert_eq!(end_of(&mut client).await, Ok(0));
    server.write_all(b"lost").await.unwrap();
    client.write_all(b"b").await.unwrap();
    assert_eq!(end_of(&mut server).await, Ok(1));
}

#[tokio::test]
async fn stalled_bytes_arrive_after_the_stall_and_dropped_ones_never() {
    let (proxy, mut client) = connected().await;
    proxy.apply("stall down".parse().unwrap());
    client.write_all(b"held").await.unwrap();
    let mut answer = [0; 4];
    assert!(timeout(Duration::from_millis(100), client.read_exact(&mut answer)).await.is_err());
    proxy.clear();
    timeout(DEADLINE, client.read_exact(&mut answer)).await.expect("held bytes in time").unwrap();
    assert_eq!(&answer, b"held");

    proxy.apply("blackhole".parse().unwrap());
    client.write_all(b"lost").await.unwrap();
    assert!(timeout(Duration::from_millis(100), client.read_exact(&mut answer)).await.is_err());
    proxy.clear();
    client.write_all(b"late").await.unwrap();
    assert!(timeout(Duration::from_millis(100), client.read_exact(&mut answer)).await.is_err());
    assert_eq!(proxy.open_connections(), 1);
}

#[tokio::test]
async fn a_delay_and_a_throttle_slow_the_link_down() {
    let (proxy, mut client) = connected().await;
    proxy.apply("delay 80".parse().unwrap());
    let start = Instant::now();
    echoed(&mut client, b"there and back").await;
    assert!(start.elapsed() >= Duration::from_millis(160));

    proxy.clear();
    proxy.apply("throttle 10000 down".parse().unwrap());
    let start = Instant::now();
    echoed(&mut client, &[7; 2000]).await;
    assert!(start.elapsed() >= Duration::from_millis(190));
}

#[tokio::test]
async fn new_connections_follow_the_upstream() {
    let (proxy, _client) = connected().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy.redirect(other.local_addr().unwrap());
    let _client = TcpStream::connect(proxy.address()).await.unwrap();
    timeout(DEADLINE, other.accept()).await.expect("a connection in time").unwrap();
    assert_eq!(proxy.accepted_connections(), 2);
}

#[test]
fn lines_that_are_no_commands_are_refused() {
    for line in
        ["", "fly", "delay", "delay soon", "half-close", "half-close left", "cut now", "upstream here"]
    {
        assert!(line.parse::<Command>().is_err(), "{line:?} was taken");
    }
}
