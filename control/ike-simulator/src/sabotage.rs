//! Broken parts, to see that each rule notices.

/// What is broken in node 0 on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Its dataplane installs nothing.
    InstallNothing,
    /// Its dataplane removes nothing.
    RemoveNothing,
    /// Its dataplane seals with the key that opens.
    SwapKeys,
    /// Its clock rings no more after the last fault.
    SleepOn,
    /// Its clock rings and it does nothing about it.
    StopTheClock,
    /// It never comes back after a crash.
    StayDown,
}
