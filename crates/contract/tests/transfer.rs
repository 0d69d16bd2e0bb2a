//! The model passes the contract of what is carried.

use std::sync::Arc;

use switchboard_contract::{
    Model,
    transfer::{Ports, Vessel},
};
use switchboard_core::transfer::{Archive, Destination};

struct Plain(Arc<Model>);

impl Vessel for Plain {
    async fn empty() -> Self {
        Self(Arc::default())
    }

    async fn destination(&self) -> Arc<dyn Destination> {
        Arc::clone(&self.0) as _
    }

    async fn archive(&self) -> Arc<dyn Archive> {
        Arc::clone(&self.0) as _
    }

    async fn serve(&self) -> Ports {
        Ports::of(&self.0)
    }
}

switchboard_contract::transfer!(Plain);
