//! springtide-server
