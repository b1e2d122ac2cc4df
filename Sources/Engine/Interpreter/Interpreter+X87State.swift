// x87 control instructions in the interpreter: control and status word, environment, the whole state. Memory
// is read or probed before anything changes.
//
// The selectors of the last instruction and operand are stored as 0: processors that report "FCS and FDS
// deprecated" (CPUID leaf 7, EBX bit 13) do so, and 64-bit programs have no use for them.

import CHost
import X86

extension Interpreter {
  // MARK: - Control and status word

  @inline(never) public func x87Initialize() {
    cpu.pointee.x87_control = 0x37f
    cpu.pointee.x87_status = 0
    cpu.pointee.x87_top = 0
    cpu.pointee.x87_tags = 0
    cpu.pointee.x87_opcode = 0
    cpu.pointee.x87_instruction_pointer = 0
    cpu.pointee.x87_data_pointer = 0
    x87Reload()
  }

  @inline(never) public func x87ClearExceptions() {
    cpu.pointee.x87_status &= X87StatusBit.conditions
    x87Reload()
  }

  @inline(never) public func x87LoadControl(_ value: UInt64) {
    x87SetControl(UInt16(truncatingIfNeeded: value))
  }

  // PERF: plain reads of two words.
  @inline(__always) public func x87Control() -> UInt64 { UInt64(cpu.pointee.x87_control) }

  @inline(__always) public func x87Status() -> UInt64 {
    UInt64(cpu.pointee.x87_status | (cpu.pointee.x87_top & 7) &<< 11)
  }

  /// Reserved bits read as the processor gives them: bit 6 set, bits 7 and 13 to 15 clear.
  func x87SetControl(_ value: UInt16) {
    cpu.pointee.x87_control = (value & 0x1f3f) | 0x40
    x87SetStatus(cpu.pointee.x87_status)
    x87Reload()
  }

  /// Takes a status word from memory apart; error summary and busy follow from flags and masks.
  func x87SetStatusWord(_ value: UInt16) {
    cpu.pointee.x87_top = value &>> 11 & 7
    x87SetStatus(value & (X87StatusBit.conditions | X87StatusBit.stackFault | X87StatusBit.exceptions))
    x87Reload()
  }

  // MARK: - Tags

  /// The tag word of FNSTENV, two bits a physical register: valid, zero, special or empty, found by looking
  /// at the registers (SDM volume 1, section 8.1.7).
  func x87TagWord() -> UInt16 {
    var word: UInt16 = 0
    for number in 0..<8 {
      let register = vt_x87_registers(cpu)[number]
      let exponent = register.sign_exponent & 0x7fff
      var tag: UInt16 = 0
      if cpu.pointee.x87_tags &>> UInt16(number) & 1 == 0 {
        tag = 3
      } else if exponent == 0 && register.significand == 0 {
        tag = 1
      } else if exponent == 0 || exponent == 0x7fff || register.significand &>> 63 == 0 {
        tag = 2
      }
      word |= tag &<< UInt16(number &* 2)
    }
    return word
  }

  /// Of a tag word from memory only "empty" counts.
  func x87SetTagWord(_ word: UInt16) {
    var tags: UInt16 = 0
    for number in 0..<UInt16(8) where word &>> (number &* 2) & 3 != 3 { tags |= 1 &<< number }
    cpu.pointee.x87_tags = tags
  }

  // MARK: - Environment

  @inline(never) public func x87LoadEnvironment<W: Width>(_ width: W.Type, _ address: UInt64) {
    x87Probe(W.self, address, count: x87EnvironmentSize(W.self), writes: false)
    if W.bits == 16 { x87LoadEnvironment16(address) } else { x87LoadEnvironment32(address) }
  }

  @inline(never) public func x87StoreEnvironment<W: Width>(_ width: W.Type, _ address: UInt64) {
    x87Probe(W.self, address, count: x87EnvironmentSize(W.self), writes: true)
    x87WriteEnvironment(W.self, address)
    // Saving the environment masks all exceptions, for the handler that is about to run.
    x87SetControl(cpu.pointee.x87_control | X87StatusBit.exceptions)
  }

  /// Touches an image as processors do before anything happens: its first word, then its last byte. (Plain
  /// loads would not do, the compiler narrows them to what is used.)
  private func x87Probe<W: Width>(_ width: W.Type, _ address: UInt64, count: Int, writes: Bool) {
    let firstEnd = address &+ W.bits / 8 &- 1
    x87Probe(address, writes)
    if (address ^ firstEnd) & ~0xfff != 0 { x87Probe(firstEnd & ~0xfff, writes) }
    x87Probe(address &+ UInt64(truncatingIfNeeded: count) &- 1, writes)
  }

  private func x87Probe(_ address: UInt64, _ writes: Bool) {
    if writes { vt_probe_write(host(address)) } else { vt_probe_read(host(address)) }
  }

  func x87EnvironmentSize<W: Width>(_ width: W.Type) -> Int { W.bits == 16 ? 14 : 28 }

  private func x87LoadEnvironment32(_ address: UInt64) {
    let words = load(W64.self, address)
    let tags = load(W32.self, address &+ 8)
    let instruction = load(W32.self, address &+ 12)
    let opcode = load(W32.self, address &+ 16)
    let data = load(W64.self, address &+ 20)
    x87SetEnvironment(control: words, status: words &>> 32, tags: tags)
    cpu.pointee.x87_instruction_pointer = instruction
    cpu.pointee.x87_opcode = UInt16(truncatingIfNeeded: opcode &>> 16 & 0x7ff)
    cpu.pointee.x87_data_pointer = data & 0xffff_ffff
  }

  private func x87LoadEnvironment16(_ address: UInt64) {
    let words = load(W64.self, address)
    let rest = load(W32.self, address &+ 8)
    x87SetEnvironment(control: words, status: words &>> 16, tags: words &>> 32)
    cpu.pointee.x87_instruction_pointer = words &>> 48
    cpu.pointee.x87_opcode = 0
    cpu.pointee.x87_data_pointer = rest &>> 16
  }

  private func x87SetEnvironment(control: UInt64, status: UInt64, tags: UInt64) {
    cpu.pointee.x87_control = (UInt16(truncatingIfNeeded: control) & 0x1f3f) | 0x40
    x87SetStatusWord(UInt16(truncatingIfNeeded: status))
    x87SetTagWord(UInt16(truncatingIfNeeded: tags))
  }

  private func x87WriteEnvironment<W: Width>(_ width: W.Type, _ address: UInt64) {
    let control = UInt64(cpu.pointee.x87_control)
    let status = x87Status()
    let tags = UInt64(x87TagWord())
    let instruction = cpu.pointee.x87_instruction_pointer
    let data = cpu.pointee.x87_data_pointer
    if W.bits == 16 {
      store(W64.self, address, control | status &<< 16 | tags &<< 32 | instruction &<< 48)
      store(W32.self, address &+ 8, (data & 0xffff) &<< 16)
      store(W16.self, address &+ 12, 0)
    } else {
      let reserved: UInt64 = 0xffff_0000
      store(W64.self, address, control | reserved | (status | reserved) &<< 32)
      store(W64.self, address &+ 8, tags | reserved | instruction &<< 32)
      store(W64.self, address &+ 16, UInt64(cpu.pointee.x87_opcode) &<< 16 | data &<< 32)
      store(W32.self, address &+ 24, reserved)
    }
  }

  // MARK: - The whole state

  /// FRSTOR: the environment, then eight registers of ten bytes from ST(0) on.
  @inline(never) public func x87RestoreState<W: Width>(_ width: W.Type, _ address: UInt64) {
    let registers = address &+ UInt64(x87EnvironmentSize(W.self))
    x87Probe(W.self, address, count: x87EnvironmentSize(W.self) &+ 80, writes: false)
    x87LoadEnvironment(W.self, address)
    for position in 0..<UInt8(8) {
      let place = registers &+ UInt64(position) &* 10
      x87Register(position).pointee.significand = load(W64.self, place)
      x87Register(position).pointee.sign_exponent = UInt16(truncatingIfNeeded: load(W16.self, place &+ 8))
    }
  }

  /// FNSAVE: the same image written; then the unit is initialised.
  @inline(never) public func x87SaveState<W: Width>(_ width: W.Type, _ address: UInt64) {
    let size = x87EnvironmentSize(W.self)
    x87Probe(W.self, address, count: size &+ 80, writes: true)
    x87WriteEnvironment(W.self, address)
    for position in 0..<UInt8(8) {
      let place = address &+ UInt64(size) &+ UInt64(position) &* 10
      store(W64.self, place, x87Register(position).pointee.significand)
      store(W16.self, place &+ 8, UInt64(x87Register(position).pointee.sign_exponent))
    }
    x87Initialize()
  }
}
