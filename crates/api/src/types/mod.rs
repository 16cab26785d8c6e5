//! What travels, by topic.

mod environment;
mod estate;
mod event;
mod log;
mod operation;
mod plan;
mod signals;
mod token;

pub use environment::*;
pub use estate::*;
pub use event::*;
pub use log::*;
pub use operation::*;
pub use plan::*;
pub use signals::*;
pub use token::*;
