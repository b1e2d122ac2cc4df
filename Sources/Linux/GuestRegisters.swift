// The registers of the guest CPU as the system call and signal ABI name them. A view on `vt_cpu_state`; owns nothing.
import CHost
import X86

/// General registers by their number in the instruction encoding.
enum GeneralRegister: Int {
  case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
}

/// The guest CPU in the personality's hands.
struct GuestRegisters {
  let cpu: UnsafeMutablePointer<vt_cpu_state>

  init(_ cpu: UnsafeMutablePointer<vt_cpu_state>) { self.cpu = cpu }

  subscript(register: GeneralRegister) -> UInt64 {
    // SAFETY: `general` is the first member, sixteen 64-bit words (asserted in state.c).
    get { UnsafeRawPointer(cpu).load(fromByteOffset: register.rawValue &* 8, as: UInt64.self) }
    nonmutating set {
      UnsafeMutableRawPointer(cpu).storeBytes(
        of: newValue, toByteOffset: register.rawValue &* 8, as: UInt64.self)
    }
  }

  /// RFLAGS, folded from the lazy form.
  var flags: UInt64 {
    get {
      LazyFlags(
        result: cpu.pointee.flags_result, carries: cpu.pointee.flags_carries, other: cpu.pointee.flags_other
      )
      .rflags
    }
    nonmutating set {
      let lazy = LazyFlags(rflags: newValue)
      cpu.pointee.flags_result = lazy.result
      cpu.pointee.flags_carries = lazy.carries
      cpu.pointee.flags_other = lazy.other
    }
  }
}

/// The six arguments of a system call, in order: RDI, RSI, RDX, R10, R8, R9.
public struct Arguments: Sendable {
  public var a: UInt64
  public var b: UInt64
  public var c: UInt64
  public var d: UInt64
  public var e: UInt64
  public var f: UInt64

  public init(
    _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0, _ d: UInt64 = 0, _ e: UInt64 = 0, _ f: UInt64 = 0
  ) {
    self.a = a
    self.b = b
    self.c = c
    self.d = d
    self.e = e
    self.f = f
  }

  init(_ registers: GuestRegisters) {
    self.init(
      registers[.rdi], registers[.rsi], registers[.rdx], registers[.r10], registers[.r8], registers[.r9])
  }

  subscript(index: Int) -> UInt64 {
    get {
      switch index {
      case 0: return a
      case 1: return b
      case 2: return c
      case 3: return d
      case 4: return e
      default: return f
      }
    }
    set {
      switch index {
      case 0: a = newValue
      case 1: b = newValue
      case 2: c = newValue
      case 3: d = newValue
      case 4: e = newValue
      default: f = newValue
      }
    }
  }
}

/// The low 32 bits of an argument, as the kernel takes an `int`.
func int(_ argument: UInt64) -> Int32 { Int32(truncatingIfNeeded: argument) }
