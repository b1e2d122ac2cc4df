// Swapping MXCSR at the border of the run loop: while handlers run on an x86-64 host, the host's register
// holds the guest's value, so that SSE instructions of the host obey it and collect flags. Nothing between
// `enter` and `leave` may use floating point on the host's own account.

import CHost

/// Loads the guest's MXCSR into the host's register.
func enterGuestFloatingPoint(_ cpu: UnsafeMutablePointer<CPUState>) {
  #if arch(x86_64)
    cpu.pointee.mxcsr &= UInt32(truncatingIfNeeded: Interpreter.mxcsrMask)
    vt_load_mxcsr(&cpu.pointee.mxcsr)
  #endif
}

/// Takes the guest's MXCSR back and restores the value that the ABI prescribes.
func leaveGuestFloatingPoint(_ cpu: UnsafeMutablePointer<CPUState>) {
  #if arch(x86_64)
    vt_store_mxcsr(&cpu.pointee.mxcsr)
    var standard: UInt32 = 0x1f80
    vt_load_mxcsr(&standard)
  #endif
}
