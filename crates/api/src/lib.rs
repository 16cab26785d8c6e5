//! Wire types of the HTTP API and its typed client.
