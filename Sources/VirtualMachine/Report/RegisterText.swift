// The guest's registers as lines of text.
import CHost
import Engine
import X86

struct RegisterText {
  let cpu: UnsafePointer<vt_cpu_state>

  /// General registers four in a line, then rip, flags by name, and the segment bases.
  var lines: [String] {
    let general = cpu.pointee.general
    let values: [(String, UInt64)] = [
      ("rax", general.0), ("rbx", general.3), ("rcx", general.1), ("rdx", general.2),
      ("rsi", general.6), ("rdi", general.7), ("rbp", general.5), ("rsp", general.4),
      (" r8", general.8), (" r9", general.9), ("r10", general.10), ("r11", general.11),
      ("r12", general.12), ("r13", general.13), ("r14", general.14), ("r15", general.15),
    ]
    var result: [String] = []
    for start in stride(from: 0, to: values.count, by: 4) {
      let row = values[start..<start &+ 4].map { "\($0.0) \(FaultReport.hex($0.1, digits: 16))" }
      result.append("  " + row.joined(separator: "  "))
    }
    let rip = FaultReport.hex(cpu.pointee.rip, digits: 16)
    result.append("  rip \(rip)  flags \(FaultReport.hex(rflags, digits: 8)) [\(flagNames)]")
    let bases = (
      FaultReport.hex(cpu.pointee.fs_base, digits: 12), FaultReport.hex(cpu.pointee.gs_base, digits: 12)
    )
    result.append(
      "  fs base \(bases.0)  gs base \(bases.1)  mxcsr \(FaultReport.hex(UInt64(cpu.pointee.mxcsr), digits: 8))"
    )
    return result
  }

  private var rflags: UInt64 { cpu.pointee.lazyFlags.rflags }

  private var flagNames: String {
    let names: [(UInt64, String)] = [
      (0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (9, "IF"), (10, "DF"), (11, "OF"),
      (18, "AC"), (21, "ID"),
    ]
    return names.filter { rflags >> $0.0 & 1 != 0 }.map(\.1).joined(separator: " ")
  }

  /// Vector registers ymm0 … ymm15, most significant byte first; with AVX-512 zmm0 … zmm31, in two lines each, and the
  /// opmask registers.
  var vectorLines: [String] {
    let hasVectors512 = cpu.pointee.xcr0 & ExtendedState.avx512 != 0
    // SAFETY: `vector` is 32 × 64 bytes inside the state; the loops stay inside.
    var lines = withUnsafeBytes(of: cpu.pointee.vector) { bytes in
      func value(_ number: Int, _ range: Range<Int>) -> String {
        range.reversed().map { FaultReport.hex(UInt64(bytes[number &* 64 &+ $0]), digits: 2) }.joined()
      }
      func name(_ letter: String, _ number: Int) -> String {
        (number < 10 ? "   " : "  ") + "\(letter)mm\(number) "
      }
      if !hasVectors512 { return (0..<16).map { name("y", $0) + value($0, 0..<32) } }
      return (0..<32).flatMap { [name("z", $0) + value($0, 32..<64), "        " + value($0, 0..<32)] }
    }
    if hasVectors512 {
      let masks = cpu.pointee.mask
      let values = [masks.0, masks.1, masks.2, masks.3, masks.4, masks.5, masks.6, masks.7]
      for start in stride(from: 0, to: 8, by: 4) {
        let row = (start..<start &+ 4).map { "k\($0) \(FaultReport.hex(values[$0], digits: 16))" }
        lines.append("   " + row.joined(separator: "  "))
      }
    }
    return lines
  }
}
