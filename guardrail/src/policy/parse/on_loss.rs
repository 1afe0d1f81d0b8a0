//! `onLoss`: what becomes of what would be held, or is granted, while the agent or room for records is lost.

use super::{Fields, Reader};
use crate::policy::{
    Diagnostic, language,
    on_loss::{AgentLoss, AuditLoss, OnLoss},
    yaml::Node,
};

pub(super) fn on_loss(r: &mut Reader, node: &Node) -> OnLoss {
    let mut usual = OnLoss::default();
    let Some(mut fields) = Fields::of(r, node, &language::ON_LOSS) else {
        return usual;
    };
    if !fields.had("agent") && !fields.had("audit") {
        let error = Diagnostic::error(node.at, "", "onLoss says nothing");
        r.report(error.suggest("name `agent` or `audit`, or take it out"));
    }
    if let Some(node) = fields.take("agent") {
        let known = AgentLoss::ALL.map(|one| (one.as_str(), one));
        usual.agent = r.word(node, "agent", &known, &[]).unwrap_or_default();
    }
    if let Some(node) = fields.take("audit") {
        let known = AuditLoss::ALL.map(|one| (one.as_str(), one));
        usual.audit = r.word(node, "audit", &known, &[]).unwrap_or_default();
    }
    usual
}
