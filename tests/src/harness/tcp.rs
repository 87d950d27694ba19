//! TCP sockets for workloads.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Instant,
};

use super::{Result, deadline, ensure, sys};

/// Both protocols.
pub const LOCALHOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// An address as the kernel wants it.
pub fn sockaddr(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let family = |family: i32| (family as u16).to_ne_bytes();
    match address.ip() {
        IpAddr::V4(ip) => [&family(libc::AF_INET)[..], &port, &ip.octets(), &[0; 8]].concat(),
        IpAddr::V6(ip) => [&family(libc::AF_INET6)[..], &port, &[0; 4], &ip.octets(), &[0; 4]].concat(),
    }
}

/// A socket with a port of its own. Until it listens, who connects there is refused: it keeps the port
/// from others, who might listen, or connect from there to themselves.
pub fn bound_socket(address: IpAddr, flags: i32) -> Result<(OwnedFd, SocketAddr)> {
    let socket = socket(address, flags)?;
    bind(&socket, (address, 0).into())?;
    let socket = TcpListener::from(socket);
    let own = socket.local_addr()?;
    Ok((socket.into(), own))
}

/// A socket for an address's protocol.
pub fn socket(address: IpAddr, flags: i32) -> Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
    Ok(sys::own(sys::call(libc::SYS_socket, &[family as usize, kind as usize, 0]))?)
}

pub fn bind(socket: &OwnedFd, to: SocketAddr) -> Result<()> {
    let name = sockaddr(to);
    let args = [socket.as_raw_fd() as usize, name.as_ptr() as usize, name.len()];
    sys::call(libc::SYS_bind, &args).map_err(io::Error::from_raw_os_error)?;
    Ok(())
}

/// Connects, and returns the error.
pub fn connect(socket: &OwnedFd, to: SocketAddr) -> i32 {
    let name = sockaddr(to);
    let args = [socket.as_raw_fd() as usize, name.as_ptr() as usize, name.len()];
    sys::call(libc::SYS_connect, &args).err().unwrap_or(0)
}

/// Makes the close of a socket a reset.
pub fn reset_on_close(stream: &TcpStream) -> Result<()> {
    set_option(stream, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Lets sockets share an address.
pub fn reuse_address(socket: &OwnedFd) -> Result<()> {
    set_option(socket, libc::SO_REUSEADDR, &1_i32)
}

/// Drops segments to a socket, header and all longer than this.
pub fn drop_longer(socket: &impl AsRawFd, bytes: u32) -> Result<()> {
    let step = |code: u32, jt, k| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, bytes),
        step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
        step(libc::BPF_RET | libc::BPF_K, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    set_option(socket, libc::SO_ATTACH_FILTER, &program)
}

pub fn drop_nothing(socket: &impl AsRawFd) -> Result<()> {
    set_option(socket, libc::SO_DETACH_FILTER, &0_i32)
}

/// How many segments a socket has sent again.
pub fn retransmits(socket: &impl AsRawFd) -> Result<u32> {
    /// Where struct `tcp_info` has `tcpi_total_retrans`.
    const AT: usize = 100;
    let info = sys::tcp_info::<{ AT + 4 }>(socket)?;
    Ok(info.last_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)))
}

fn set_option<T>(socket: &impl AsRawFd, option: i32, value: &T) -> Result<()> {
    let args = [
        socket.as_raw_fd() as usize,
        libc::SOL_SOCKET as usize,
        option as usize,
        std::ptr::from_ref(value) as usize,
        size_of_val(value),
    ];
    sys::call(libc::SYS_setsockopt, &args).map_err(io::Error::from_raw_os_error)?;
    Ok(())
}

/// States, as `net/tcp_states.h` of the kernel numbers them.
pub const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;

/// Waits until the kernel has closed a session: `inet_sk_state_store` tells the tracepoint of a state before
/// it stores it.
pub fn wait_closed(stream: &TcpStream) -> Result<()> {
    wait_state(stream, CLOSE)
}

/// Waits until a socket is in this state.
pub fn wait_state(stream: &TcpStream, state: u8) -> Result<()> {
    let deadline = deadline();
    while sys::tcp_state(stream)? != state {
        ensure!(Instant::now() < deadline, "the socket does not come to state {state} in time");
        thread::yield_now();
    }
    Ok(())
}
