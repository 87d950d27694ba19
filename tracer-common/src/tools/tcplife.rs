//! tcplife
