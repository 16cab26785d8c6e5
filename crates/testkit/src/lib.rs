//! springtide-testkit
