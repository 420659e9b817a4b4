//! The supervisor of a game's key actors.
//!
//! Owns: outliving its children, and a line in the log when one dies. Does not own: data, look-ups, restarts: a key whose
//! actor died is activated again by its next call (`client`).

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::metric_definitions::TRACE_KEYS;

pub(crate) struct KeySupervisor;

impl Actor for KeySupervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    /// Overridden because the default stops the supervisor, and with it every key, when any child ends.
    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            tracing::error!(target: TRACE_KEYS, actor = %actor.get_id(), %error, "a key actor died");
        }
        Ok(())
    }
}
