//! Parameters of the plant, measured, with the machine's fingerprint.
