//! Tokens: who may do what, until when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a token allows; each allows what stands before it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything but secrets.
    Read,
    /// Approve plans, cancel operations, hold and release.
    Operate,
    /// Make and revoke tokens.
    Admin,
}

impl Scope {
    /// All scopes, the least first.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Operate, Scope::Admin];

    /// The word in requests and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Operate => "operate",
            Scope::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
        found.ok_or_else(|| format!("{word:?} is no scope; there is read, operate and admin"))
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id, part of the token itself.
    pub id: String,
    /// What it is for, as its maker wrote.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made, seconds since 1970.
    pub made: i64,
    /// When it ends, seconds since 1970.
    pub expires: i64,
    /// When it was revoked, seconds since 1970; none if it was not.
    pub revoked: Option<i64>,
}

/// All tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// The tokens, newest first; those that ended or were revoked too.
    pub items: Vec<TokenView>,
}

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is for.
    #[schema(min_length = 1, max_length = 80)]
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// How long it is good for, seconds; at most a year.
    #[schema(minimum = 60, maximum = 31536000)]
    pub expires_in_s: u64,
}

/// A token that was made. Has no `Debug`: it holds the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token without its secret.
    pub token: TokenView,
    /// The token itself; it is shown this once.
    pub secret: String,
}
