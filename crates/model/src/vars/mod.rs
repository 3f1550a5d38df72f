//! Request variables: their names, the condition language over them and `$var` templates.

pub mod expr;
pub mod name;
pub mod need;
pub mod number;
pub mod template;
pub mod value;

pub use expr::{Expr, ExprError, ExprFault};
pub use name::VarName;
pub use need::BodyNeed;
pub use template::Template;
pub use value::{Lookup, Value};
