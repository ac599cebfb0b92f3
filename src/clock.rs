//! The wall clock, and ids made from it.

use std::time::SystemTime;

use actors::ports::Clock;
use uuid::Uuid;

#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}
