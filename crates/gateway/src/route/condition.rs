use super::RouteQuery;
use ipnet::IpNet;
use model::vars::{BodyNeed, Expr, ExprFault, Lookup};
use std::net::IpAddr;

/// What must hold besides host and path.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// One of these methods; any when empty.
    pub methods: Vec<Box<str>>,
    /// A client in one of these networks; any when empty.
    pub clients: Vec<IpNet>,
    /// The expression over variables.
    pub vars: Option<Expr>,
}

impl Conditions {
    /// What of the request's body they look into.
    pub fn body_need(&self) -> BodyNeed {
        self.vars.as_ref().map_or(BodyNeed::NONE, Expr::body_need)
    }

    /// Which of them does not hold for a request, in words; `None` when all do.
    ///
    /// # Errors
    /// As [`Conditions::hold`].
    pub(crate) fn broken(&self, query: &RouteQuery<'_>, vars: &dyn Lookup) -> Result<Option<String>, ExprFault> {
        if !self.has_method(query) {
            return Ok(Some(format!("its methods are {}", self.methods.join(", "))));
        }
        if !self.has_client(query) {
            return Ok(Some("the client is not in its remote_addrs".to_owned()));
        }
        let holds = self.vars.as_ref().map_or(Ok(true), |expr| expr.eval(vars))?;
        Ok((!holds).then(|| "its vars do not hold".to_owned()))
    }

    fn has_method(&self, query: &RouteQuery<'_>) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| **m == *query.method)
    }

    fn has_client(&self, query: &RouteQuery<'_>) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|net| net.contains(&query.client))
    }

    /// Whether they hold for a request.
    ///
    /// # Errors
    /// A pattern ran out of steps, or the body that they look into is too long.
    pub fn hold(&self, query: &RouteQuery<'_>, vars: &dyn Lookup) -> Result<bool, ExprFault> {
        if !self.has_method(query) || !self.has_client(query) {
            return Ok(false);
        }
        self.vars.as_ref().map_or(Ok(true), |expr| expr.eval(vars))
    }
}

/// An address or network, as `remote_addr` is written.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
