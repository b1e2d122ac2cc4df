// What the manual leaves open and AMD's processors, which the interpreter follows, do otherwise than Intel's. On a host that is
// not AMD's such a difference is excused, each by what exactly may differ; everything else is compared as ever. The list is in
// Docs/testing.md.

import CHost
import CNative
import X86

/// One state, run natively and by an engine.
struct OracleRun {
  /// The differences, as `Comparison` and the oracle wrote them.
  let lines: [String]
  let native: (state: native_state, ending: Ending)
  let guest: (state: native_state, ending: Ending)
}

struct MakersChoice {
  let row: Row
  let form: TestForm
  let instruction: EncodedInstruction
  let start: native_state
  let run: OracleRun

  private var lines: [String] { run.lines }
  private var native: (state: native_state, ending: Ending) { run.native }

  /// CPUID leaf 0 says "AuthenticAMD".
  static let isAMD: Bool = {
    var registers: [UInt32] = [0, 0, 0, 0]
    vt_host_identify(0, 0, &registers)
    return registers[1...] == [0x6874_7541, 0x444d_4163, 0x6974_6e65]
  }()

  /// Whether the manual allows these differences.
  var isExcused: Bool {
    if MakersChoice.isAMD { return false }
    let semantic = row.semantic?.name ?? ""
    switch (run.native.ending, run.guest.ending) {
    case (.completed, .completed): return isLongShift(semantic)
    case (.generalProtection, .generalProtection): return isPushedBeforeFault(semantic) || isPartial(semantic)
    case (.stackFault, .stackFault): return isPartial(semantic)
    case (.generalProtection, _): return row.file == "sha.isa" && address & 15 != 0
    case (.pageFault(let a), .pageFault(let b)):
      return a == b ? isPartial(semantic) : isSamePage(semantic, a, b)
    // An x87 store whose operand is invalid: that comes first on Intel's, the page fault on AMD's.
    case (.completed, .pageFault): return row.file == "x87.isa" && status(native.state) & 0x81 == 0x81
    default: return false
    }
  }

  /// Whether a block that ends with a fault at this instruction may leave something else behind: what is said here of single
  /// instructions, without looking at what exactly differs.
  static func mayDiffer(faultingAt instruction: Instruction, _ row: Row) -> Bool {
    if isAMD { return false }
    switch row.semantic?.name ?? "" {
    case "call": return true
    case "movs", "stos", "lods", "cmps", "scas":
      return instruction.addressSize == 32 || row.mnemonic.hasPrefix("CMPS") || row.mnemonic.hasPrefix("SCAS")
    default: break
    }
    let isStoreOfMMX = ["MOVQ", "MOVD", "MOVNTQ"].contains(row.mnemonic)
    let isX87Store = row.file == "x87.isa" && row.mnemonic.hasPrefix("F") && row.mnemonic.contains("ST")
    return row.encoding.modRM == .vsib || row.mnemonic.contains("MASKMOV") || row.mnemonic == "VCVTPS2PH"
      || row.file == "sha.isa" || isStoreOfMMX || isX87Store
  }

  /// SHLD and SHRD of 16 bits by more than 16 (SDM volume 2: the result is undefined).
  private func isLongShift(_ semantic: String) -> Bool {
    guard semantic == "shld" || semantic == "shrd", row.operands.first?.width == 16 else { return false }
    let isImmediate = row.operands.last?.kind == .immediate
    let count = isImmediate ? UInt64(instruction.bytes.last ?? 0) : start.general.1
    return count & 31 > 16
  }

  /// CALL to an address that is not canonical: the return address may be on the stack already.
  private func isPushedBeforeFault(_ semantic: String) -> Bool {
    guard semantic == "call", lines.allSatisfy({ $0.hasPrefix("[") }) else { return false }
    let place = start.general.4 &- 8
    guard Layout.contains(place), Layout.contains(place &+ 7), lines.count <= 2,
      let stored = UnsafeRawPointer(bitPattern: UInt(place))?.loadUnaligned(as: UInt64.self)
    else { return false }
    return stored == start.rip &+ UInt64(instruction.bytes.count)
  }

  /// What an instruction has done when its memory operand faults, beside the fault itself.
  private func isPartial(_ semantic: String) -> Bool {
    func only(_ prefixes: [String]) -> Bool {
      lines.allSatisfy { line in prefixes.contains { line.hasPrefix($0) } }
    }
    // Gathers: elements behind the first that faults, and whether the mask is spread over its elements already.
    if row.encoding.modRM == .vsib { return lines.allSatisfy(Comparison.isVector) }
    // REPNE CMPS and SCAS: the flags in front of the instruction (SDM volume 2, REP), or the last comparison's.
    if semantic == "cmps" || semantic == "scas" {
      return form == .repeatedNotEqual && only(["rflags"])
        && (native.state.rflags ^ start.rflags) & 0x8d5 == 0
    }
    // The conversion's flags in front of its store.
    if row.mnemonic == "VCVTPS2PH" { return only(["mxcsr"]) }
    // Stores of MMX registers: TOP is 0 already, which turns the stack.
    if ["MOVQ", "MOVD", "MOVNTQ"].contains(row.mnemonic) {
      return only(["fsw", "st"]) && status(native.state) & 0x3800 == 0
    }
    // Ten bytes across the border of a page: some of those in front may be there.
    return row.file == "x87.isa" && row.mnemonic == "FSTP" && only(["["])
  }

  /// Masked loads and stores: the first byte in the page that faults, or that of the element.
  private func isSamePage(_ semantic: String, _ a: UInt64, _ b: UInt64) -> Bool {
    row.mnemonic.contains("MASKMOV") && a >> 12 == b >> 12 && lines.count == 1
  }

  private func status(_ state: native_state) -> UInt16 {
    withUnsafeBytes(of: state.extended) { $0.load(fromByteOffset: 2, as: UInt16.self) }
  }

  /// Of the memory operand, without a segment's base, whose low bits are zero.
  private var address: UInt64 {
    guard let decoded = instruction.bytes.withUnsafeBytes({ Decoder.decode($0, mode: .bits64) }) else {
      return 0
    }
    let general = withUnsafeBytes(of: start.general) { Array($0.bindMemory(to: UInt64.self)) }
    var sum = UInt64(bitPattern: Int64(decoded.displacement))
    if decoded.base == Instruction.relative { sum &+= start.rip &+ UInt64(instruction.bytes.count) }
    if decoded.base < 16 { sum &+= general[Int(decoded.base)] }
    if decoded.index < 16 { sum &+= general[Int(decoded.index)] << UInt64(decoded.scale) }
    return sum
  }
}
