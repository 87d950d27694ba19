//! tcpconnect
