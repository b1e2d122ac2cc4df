// What ended a run of guest instructions other than a system call, and what the personality makes of it: which signal,
// which si_code, which page-fault error code. Follows arch/x86's exception entry points (signal(7), Intel manual vol. 3A
// chapter 6).
import LinuxABI

/// A fault of the guest CPU at `cpu.rip`, which is the faulting instruction (for a breakpoint: the one after it).
public struct GuestFault: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    case pageFault, busError, generalProtection, stackFault, divideError, overflow, bound, invalidOpcode,
      breakpoint
    case debug, alignmentCheck
    /// #MF or #XM; `code` is the FPE_ code.
    case x87Exception, vectorException
  }

  public var kind: Kind
  /// Guest address of the access, for page faults and bus errors.
  public var address: UInt64
  public var write: Bool
  /// An instruction fetch.
  public var fetch: Bool
  /// FPE_ code of a floating-point exception (FPE_FLTDIV …).
  public var code: Int32
  /// What the processor says of a general protection fault: a selector, or INT's vector · 8 + 2, or 0.
  public var errorCode: UInt64

  public init(
    _ kind: Kind, address: UInt64 = 0, write: Bool = false, fetch: Bool = false, code: Int32 = 0,
    errorCode: UInt64 = 0
  ) {
    self.errorCode = errorCode
    self.kind = kind
    self.address = address
    self.write = write
    self.fetch = fetch
    self.code = code
  }

  /// The instruction has not been executed and would be again: the processor pushes RF.
  var isRepeated: Bool {
    switch kind {
    case .breakpoint, .debug, .overflow: false
    default: true
    }
  }

  /// The signal's number, wherever the address lies.
  public var signal: Int32 { FaultSignal(self, mapped: false, present: false, rip: 0).signal }
}

/// The signal that a fault becomes, and what its frame says.
struct FaultSignal: Sendable {
  var signal: Int32
  var code: Int32
  var address: UInt64
  var trapNumber: UInt64
  var errorCode: UInt64

  /// `mapped` tells whether the address lies in a region, `present` whether that region allows anything at all; `rip` is
  /// the faulting instruction.
  init(_ fault: GuestFault, mapped: Bool, present: Bool, rip: UInt64) {
    let kernel: Int32 = 128
    self.init(
      signal: Signal.segmentation, code: kernel, address: 0, trapNumber: 13, errorCode: fault.errorCode)
    switch fault.kind {
    case .pageFault: pageFault(fault, mapped, present)
    case .busError: set(Signal.bus, 2, fault.address, 14, FaultSignal.pageBits(fault, present: false))
    case .generalProtection: break
    case .stackFault: set(Signal.bus, kernel, 0, 12, 0)
    case .divideError: set(Signal.floatingPoint, 1, rip, 0, 0)
    case .overflow: set(Signal.segmentation, kernel, 0, 4, 0)
    case .bound: set(Signal.segmentation, kernel, 0, 5, 0)
    case .invalidOpcode: set(Signal.illegal, 2, rip, 6, 0)
    case .breakpoint: set(Signal.trap, kernel, 0, 3, 0)
    case .debug: set(Signal.trap, 2, rip, 1, 0)
    case .alignmentCheck: set(Signal.bus, 1, 0, 17, 0)
    case .x87Exception: set(Signal.floatingPoint, fault.code, rip, 16, 0)
    case .vectorException: set(Signal.floatingPoint, fault.code, rip, 19, 0)
    }
  }

  private init(signal: Int32, code: Int32, address: UInt64, trapNumber: UInt64, errorCode: UInt64) {
    self.signal = signal
    self.code = code
    self.address = address
    self.trapNumber = trapNumber
    self.errorCode = errorCode
  }

  private mutating func set(
    _ signal: Int32, _ code: Int32, _ address: UInt64, _ trap: UInt64, _ error: UInt64
  ) {
    self = FaultSignal(signal: signal, code: code, address: address, trapNumber: trap, errorCode: error)
  }

  private mutating func pageFault(_ fault: GuestFault, _ mapped: Bool, _ present: Bool) {
    let high = Int64(bitPattern: fault.address) &>> 47
    // Not canonical: the hardware raises #GP and does not tell the address.
    if high != 0, high != -1 { return }
    set(Signal.segmentation, mapped ? 2 : 1, fault.address, 14, FaultSignal.pageBits(fault, present: present))
  }

  /// The page-fault error code: present, write, user, fetch.
  private static func pageBits(_ fault: GuestFault, present: Bool) -> UInt64 {
    (present ? 1 : 0) | (fault.write ? 2 : 0) | 4 | (fault.fetch ? 16 : 0)
  }
}
