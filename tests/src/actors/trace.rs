//! A tracer that swallows stop signals: the hold must not depend on the stop taking place.

use nix::{
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::sys::Ret;

/// Traces `child`, which has asked for it, to its end; every `SIGSTOP` is swallowed. Its exit code and how many
/// stops there were: `stops << 8 | code`.
pub fn swallow_stops(child: Pid) -> Ret {
    let mut stops: Ret = 0;
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return stops << 8 | Ret::from(code & 0xff),
            Ok(WaitStatus::Signaled(_, signal, _)) => return 1_000 + signal as Ret,
            Ok(WaitStatus::Stopped(_, signal)) => {
                let pass = if signal == Signal::SIGSTOP {
                    None
                } else {
                    Some(signal)
                };
                stops += Ret::from(pass.is_none());
                if ptrace::cont(child, pass).is_err() {
                    return -Ret::from(libc::ESRCH);
                }
            }
            Ok(_) => {}
            Err(error) => return -Ret::from(error as i32),
        }
    }
}
