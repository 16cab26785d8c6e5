//! Pages: each a function from wire types to HTML. No page asks anything of the world; what it shows
//! was handed in, so a test needs no server to look at one.

pub mod environment;
pub mod estate;
pub mod login;
pub mod operation;
pub mod plan;
pub mod problem;
pub mod signals;
