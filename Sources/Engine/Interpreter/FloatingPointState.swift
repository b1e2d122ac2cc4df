// Swapping MXCSR at the border of the run loop: while handlers run on an x86-64 host, the host's register holds the
// guest's value, so that SSE instructions of the host obey it and collect flags. Nothing between `enter` and `leave` may
// use floating point on the host's own account.

import CHost

/// Loads the guest's MXCSR into the host's register.
func enterGuestFloatingPoint(_ cpu: UnsafeMutablePointer<CPUState>) {
  #if arch(x86_64)
    vt_set_mxcsr(cpu.pointee.mxcsr & UInt32(truncatingIfNeeded: Interpreter.mxcsrMask))
  #endif
}

/// Takes the guest's MXCSR back and restores the value that the ABI prescribes.
func leaveGuestFloatingPoint(_ cpu: UnsafeMutablePointer<CPUState>) {
  #if arch(x86_64)
    cpu.pointee.mxcsr = vt_mxcsr()
    vt_set_mxcsr(0x1f80)
  #endif
}
