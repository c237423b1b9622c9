//! One connection through the fault proxy: two pumps, and the orders that end it. Each pump reads ahead
//! into a bounded queue, so that a delay adds latency without lowering the throughput.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Conditions, Direction, acks::Sieve};

const CHUNK: usize = 16 * 1024;
/// Chunks in flight in one direction; what comes after them waits in the sender's own socket.
const IN_FLIGHT: usize = 256;
/// A throttled direction writes this often.
const THROTTLE_STEP: Duration = Duration::from_millis(20);

/// What the proxy can do to an open connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Close,
    Reset,
    HalfClose(Direction),
}

/// Closes with a reset instead of an orderly end, once the socket is dropped.
pub(super) fn reset(socket: &TcpStream) {
    // Fails only on a socket that is gone already.
    drop(SockRef::from(socket).set_linger(Some(Duration::ZERO)));
}

/// Carries bytes both ways until both directions have ended or an order ends them.
pub(super) async fn carry(
    client: TcpStream,
    server: TcpStream,
    conditions: watch::Receiver<Conditions>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    for socket in [&client, &server] {
        drop(socket.set_nodelay(true));
    }
    let (client, server) = (Arc::new(client), Arc::new(server));
    let up = pump(Arc::clone(&client), Arc::clone(&server), Direction::Up, conditions.clone());
    let down = pump(Arc::clone(&server), Arc::clone(&client), Direction::Down, conditions);
    let pumps = async { tokio::join!(up, down) };
    tokio::pin!(pumps);
    loop {
        tokio::select! {
            (up, down) = &mut pumps => {
                // A failure on either side reaches both, as a reset.
                if up.is_err() || down.is_err() {
                    reset(&client);
                    reset(&server);
                }
                return;
            }
            order = orders.recv() => match order {
                Some(Order::HalfClose(direction)) => {
                    let towards = match direction { Direction::Up => &server, Direction::Down => &client };
                    drop(SockRef::from(&**towards).shutdown(Shutdown::Write));
                }
                Some(Order::Reset) => {
                    reset(&client);
                    reset(&server);
                    return;
                }
                Some(Order::Close) | None => return,
            },
        }
    }
}

async fn pump(
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    direction: Direction,
    conditions: watch::Receiver<Conditions>,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let reading = conditions.clone();
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            from.readable().await?;
            match from.try_read(&mut buffer) {
                Ok(0) => return io::Result::Ok(()),
                Ok(length) => {
                    let due = Instant::now() + reading.borrow().way(direction).delay;
                    if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    tokio::try_join!(read, write(to, direction, conditions, receiver)).map(|_| ())
}

async fn write(
    to: Arc<TcpStream>,
    direction: Direction,
    mut conditions: watch::Receiver<Conditions>,
    mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
) -> io::Result<()> {
    let mut lost = false;
    let mut sieve = Sieve::default();
    while let Some((due, chunk)) = chunks.recv().await {
        sleep_until(due).await;
        // The sender lives as long as the proxy; without it nothing is left to wait for.
        let Ok(way) = conditions.wait_for(|c| !c.way(direction).stalled).await.map(|c| c.way(direction))
        else {
            return Ok(());
        };
        lost |= way.dropping;
        if lost {
            continue;
        }
        let chunk = sieve.pass(chunk, way.ack_loss);
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let rate = conditions.borrow().way(direction).rate;
            let step = match rate {
                None => rest.len(),
                Some(rate) => {
                    sleep(THROTTLE_STEP).await;
                    let allowed = u128::from(rate) * THROTTLE_STEP.as_millis() / 1000;
                    rest.len().min(usize::try_from(allowed).unwrap_or(usize::MAX).max(1))
                }
            };
            let (head, tail) = rest.split_at(step);
            match write_all(&to, head).await {
                Ok(()) => rest = tail,
                // This direction was half closed: the rest of it has nowhere to go.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    lost = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    // The other side hears of the end only if it was not to be cut off.
    if !lost {
        drop(SockRef::from(&*to).shutdown(Shutdown::Write));
    }
    Ok(())
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
