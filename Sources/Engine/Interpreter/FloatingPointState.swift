// Swapping MXCSR and the x87 control word at the border of the run loop: while handlers run on an x86-64
// host, the host's registers hold the guest's values (x87 exceptions masked), so that the host's instructions
// obey them and collect flags. Nothing between `enter` and `leave` may use floating point on the host's own
// account.

import CHost

/// Loads the guest's MXCSR and x87 control word into the host's registers.
func enterGuestFloatingPoint(_ cpu: UnsafeMutablePointer<CPUState>) {
  #if arch(x86_64)
    cpu.pointee.mxcsr &= UInt32(truncatingIfNeeded: Interpreter.mxcsrMask)
    vt_load_mxcsr(&cpu.pointee.mxcsr)
  #endif
  vt_x87_enter(cpu.pointee.x87_control)
}

/// Takes the guest's MXCSR back and restores the values that the ABI prescribes.
func leaveGuestFloatingPoint(_ cpu: UnsafeMutablePointer<CPUState>) {
  #if arch(x86_64)
    vt_store_mxcsr(&cpu.pointee.mxcsr)
    var standard: UInt32 = 0x1f80
    vt_load_mxcsr(&standard)
  #endif
  vt_x87_leave()
}
