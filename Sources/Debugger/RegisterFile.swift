// The registers of a guest CPU as debuggers number and group them: one table of names, widths and places, from which the remote
// protocol's description is made, and access to each register as bytes, least significant first. Numbers and names follow gdb's
// features for x86-64 (gdb manual, appendix G.5, "i386 Features").

import CHost
import Engine
import X86

/// One register of the table.
public struct RegisterDescription: Equatable, Sendable {
  /// Where its bytes are.
  enum Place: Equatable, Sendable {
    case general(Int)
    case instructionPointer, flags, fsBase, gsBase, originalRAX, mxcsr
    /// Index into es cs ss ds fs gs.
    case segment(Int)
    /// ST(n), and the eight words of the x87 unit, in gdb's order.
    case x87(Int)
    case x87Control(Int)
    /// Bytes of a vector register.
    case vector(Int, offset: Int)
    case mask(Int)
  }

  public let name: String
  /// Bytes.
  public let size: Int
  /// The type's name in gdb's descriptions.
  public let type: String
  let place: Place

  /// Of a general register, its number in the instruction set.
  public var generalNumber: Int? {
    if case .general(let number) = place { return number }
    return nil
  }
}

/// A group of registers that gdb knows by name.
public struct RegisterFeature: Sendable {
  public let name: String
  public let registers: [RegisterDescription]
}

/// The registers that a CPU has, in gdb's order.
public struct RegisterFile: Sendable {
  public let features: [RegisterFeature]
  /// All registers; a register's number is its index.
  public let registers: [RegisterDescription]

  /// `components`: the state components that exist for the guest (XCR0).
  public init(components: UInt64) {
    var features = [RegisterFile.core, RegisterFile.sse, RegisterFile.linux, RegisterFile.segments]
    if components & ExtendedState.avx != 0 { features.append(RegisterFile.avx) }
    if components & ExtendedState.avx512 == ExtendedState.avx512 { features.append(RegisterFile.avx512) }
    self.features = features
    registers = features.flatMap { $0.registers }
  }

  public func number(of name: String) -> Int? { registers.firstIndex { $0.name == name } }

  // MARK: The table

  private static let generalNames = [
    ("rax", 0), ("rbx", 3), ("rcx", 1), ("rdx", 2), ("rsi", 6), ("rdi", 7), ("rbp", 5), ("rsp", 4), ("r8", 8),
    ("r9", 9), ("r10", 10), ("r11", 11), ("r12", 12), ("r13", 13), ("r14", 14), ("r15", 15),
  ]

  private static var core: RegisterFeature {
    var list = generalNames.map { name, number in
      let isPointer = name == "rbp" || name == "rsp"
      return RegisterDescription(
        name: name, size: 8, type: isPointer ? "data_ptr" : "int64", place: .general(number))
    }
    list.append(RegisterDescription(name: "rip", size: 8, type: "code_ptr", place: .instructionPointer))
    list.append(RegisterDescription(name: "eflags", size: 4, type: "i386_eflags", place: .flags))
    for (name, index) in [("cs", 1), ("ss", 2), ("ds", 3), ("es", 0), ("fs", 4), ("gs", 5)] {
      list.append(RegisterDescription(name: name, size: 4, type: "int32", place: .segment(index)))
    }
    for index in 0..<8 {
      list.append(RegisterDescription(name: "st\(index)", size: 10, type: "i387_ext", place: .x87(index)))
    }
    let control = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"]
    for (index, name) in control.enumerated() {
      list.append(RegisterDescription(name: name, size: 4, type: "int", place: .x87Control(index)))
    }
    return RegisterFeature(name: "org.gnu.gdb.i386.core", registers: list)
  }

  private static func vectors(
    _ numbers: Range<Int>, _ name: (Int) -> String, _ type: String, _ bytes: Range<Int>
  ) -> [RegisterDescription] {
    numbers.map {
      RegisterDescription(
        name: name($0), size: bytes.count, type: type, place: .vector($0, offset: bytes.lowerBound))
    }
  }

  private static var sse: RegisterFeature {
    let list = vectors(0..<16, { "xmm\($0)" }, "vec128", 0..<16)
    let control = RegisterDescription(name: "mxcsr", size: 4, type: "i386_mxcsr", place: .mxcsr)
    return RegisterFeature(name: "org.gnu.gdb.i386.sse", registers: list + [control])
  }

  private static var linux: RegisterFeature {
    RegisterFeature(
      name: "org.gnu.gdb.i386.linux",
      registers: [RegisterDescription(name: "orig_rax", size: 8, type: "int", place: .originalRAX)])
  }

  private static var segments: RegisterFeature {
    RegisterFeature(
      name: "org.gnu.gdb.i386.segments",
      registers: [
        RegisterDescription(name: "fs_base", size: 8, type: "int", place: .fsBase),
        RegisterDescription(name: "gs_base", size: 8, type: "int", place: .gsBase),
      ])
  }

  private static var avx: RegisterFeature {
    RegisterFeature(
      name: "org.gnu.gdb.i386.avx",
      registers: vectors(0..<16, { "ymm\($0)h" }, "uint128", 16..<32))
  }

  private static var avx512: RegisterFeature {
    let masks = (0..<8).map { RegisterDescription(name: "k\($0)", size: 8, type: "uint64", place: .mask($0)) }
    return RegisterFeature(
      name: "org.gnu.gdb.i386.avx512",
      registers: vectors(16..<32, { "xmm\($0)" }, "vec128", 0..<16)
        + vectors(16..<32, { "ymm\($0)h" }, "uint128", 16..<32) + masks
        + vectors(0..<32, { "zmm\($0)h" }, "v2ui128", 32..<64))
  }
}

// MARK: - Access

/// Reading and writing the registers of one thread that stands still.
public struct RegisterAccess {
  /// Nil in a recording, where nothing can be changed.
  private let thread: ControlledThread?
  private let own: UnsafeMutablePointer<CPUState>
  private let isAtCall: Bool
  /// What RAX shows at a call that has not returned.
  private var callResult = ControlledThread.interruptedCall
  private var answered: UInt64?
  private let isChangeable: Bool
  private var cpu: UnsafeMutablePointer<CPUState> { thread?.visible ?? own }

  public init(_ thread: ControlledThread) {
    (self.thread, own, isAtCall, isChangeable) = (thread, thread.cpu, false, true)
  }

  /// A thread of a recording. `isAtCall`: it is at a system call that has not returned. `isWaiting`: and waits there; otherwise it has
  /// just come. `answered`: the call that it has just got the answer to.
  public init(
    recorded cpu: UnsafeMutablePointer<CPUState>, isAtCall: Bool, isWaiting: Bool = true,
    answered: UInt64? = nil, isChangeable: Bool = false
  ) {
    self.answered = answered
    (thread, own, self.isAtCall, self.isChangeable) = (nil, cpu, isAtCall, isChangeable)
    if !isWaiting { callResult = ControlledThread.noSuchCall }
  }

  /// The registers are those of a host call that goes on.
  private var showsInterruptedCall: Bool {
    thread.map { $0.isInHostCall && $0.changed == nil } ?? isAtCall
  }

  /// The x87 part of the state as FXSAVE writes it, but with the pointers as they are.
  private func legacyImage() -> [UInt8] {
    withUnsafeTemporaryAllocation(byteCount: ExtendedState.legacySize, alignment: 64) { area -> [UInt8] in
      guard let base = area.baseAddress else { return [] }
      area.initializeMemory(as: UInt8.self, repeating: 0)
      ExtendedState.saveLegacy(cpu, to: base, wide: true)
      return Array(area)
    }
  }

  private func restore(_ image: [UInt8]) {
    image.withUnsafeBytes {
      if let base = $0.baseAddress { ExtendedState.restoreX87(cpu, from: base, wide: true) }
    }
  }

  private static func bytes(_ value: UInt64, _ size: Int) -> [UInt8] {
    (0..<size).map { $0 < 8 ? UInt8(truncatingIfNeeded: value &>> UInt64($0 * 8)) : 0 }
  }

  /// The register's bytes, least significant first.
  public func read(_ register: RegisterDescription) -> [UInt8] {
    switch register.place {
    case .x87(let index):
      return Array(legacyImage()[(32 + index * 16)..<(42 + index * 16)])
    case .x87Control(let index):
      return RegisterAccess.bytes(UInt64(RegisterAccess.control(index, legacyImage())), 4)
    case .vector(let number, let offset):
      let place = UnsafeRawPointer(cpu) + Int(VT_OFFSET_VECTOR) + number * 64 + offset
      return Array(UnsafeRawBufferPointer(start: place, count: register.size))
    default: return RegisterAccess.bytes(word(register.place), register.size)
    }
  }

  private func word(_ place: RegisterDescription.Place) -> UInt64 {
    let state = UnsafeRawPointer(cpu)
    switch place {
    case .general(0) where showsInterruptedCall:
      return callResult
    case .general(let number): return state.load(fromByteOffset: number * 8, as: UInt64.self)
    case .instructionPointer: return cpu.pointee.rip
    case .flags: return cpu.pointee.lazyFlags.rflags
    case .fsBase: return cpu.pointee.fs_base
    case .gsBase: return cpu.pointee.gs_base
    case .originalRAX: return thread?.originalRAX ?? (isAtCall ? cpu.pointee.general.0 : answered ?? .max)
    case .mxcsr: return UInt64(cpu.pointee.mxcsr)
    case .segment(let index):
      let all = cpu.pointee.segment_selectors
      return UInt64([all.0, all.1, all.2, all.3, all.4, all.5][index])
    case .mask(let number):
      return state.load(fromByteOffset: Int(VT_OFFSET_MASK) + number * 8, as: UInt64.self)
    default: return 0
    }
  }

  /// Writes as many bytes as there are; false for registers that user code cannot change, and where it says so.
  public func write(_ register: RegisterDescription, _ bytes: [UInt8]) -> Bool {
    guard bytes.count >= register.size else { return false }
    let bytes = Array(bytes.prefix(register.size))
    if read(register) == bytes { return true }
    if !isChangeable { return false }
    thread?.beginChanging()
    switch register.place {
    case .x87(let index):
      var image = legacyImage()
      image.replaceSubrange((32 + index * 16)..<(42 + index * 16), with: bytes)
      restore(image)
    case .x87Control(let index):
      var image = legacyImage()
      RegisterAccess.setControl(index, &image, UInt32(truncatingIfNeeded: RegisterAccess.value(bytes)))
      restore(image)
    case .vector(let number, let offset):
      let place = UnsafeMutableRawPointer(cpu) + Int(VT_OFFSET_VECTOR) + number * 64 + offset
      for (index, byte) in bytes.enumerated() {
        place.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
      }
      // Translated code leaves the registers of AVX-512 alone until they are used.
      if number >= 16 || offset >= 32 { cpu.pointee.translated.uses_zmm = 1 }
    default: return setWord(register.place, RegisterAccess.value(bytes))
    }
    return true
  }

  private func setWord(_ place: RegisterDescription.Place, _ value: UInt64) -> Bool {
    let state = UnsafeMutableRawPointer(cpu)
    switch place {
    case .general(let number): state.storeBytes(of: value, toByteOffset: number * 8, as: UInt64.self)
    case .instructionPointer: cpu.pointee.rip = value
    case .flags:
      let kept = cpu.pointee.lazyFlags.rflags & ~LazyFlags.userMask
      cpu.pointee.lazyFlags = LazyFlags(rflags: value & LazyFlags.userMask | kept)
    case .fsBase: cpu.pointee.fs_base = value
    case .gsBase: cpu.pointee.gs_base = value
    case .originalRAX: thread?.originalRAX = value
    case .mxcsr: cpu.pointee.mxcsr = UInt32(truncatingIfNeeded: value) & ExtendedState.mxcsrMask
    case .mask(let number):
      state.storeBytes(of: value, toByteOffset: Int(VT_OFFSET_MASK) + number * 8, as: UInt64.self)
      cpu.pointee.translated.uses_zmm = 1
    case .segment: return value == word(place)
    default: return false
    }
    return true
  }

  /// The little-endian number in at most eight bytes.
  static func value(_ bytes: [UInt8]) -> UInt64 {
    bytes.prefix(8).reversed().reduce(0) { $0 &<< 8 | UInt64($1) }
  }

  // MARK: The x87 unit's words

  private static func control(_ index: Int, _ image: [UInt8]) -> UInt32 {
    func word(_ offset: Int) -> UInt32 { UInt32(image[offset]) | UInt32(image[offset + 1]) << 8 }
    func long(_ offset: Int) -> UInt32 { word(offset) | word(offset + 2) << 16 }
    switch index {
    case 0: return word(0)
    case 1: return word(2)
    case 2: return tags(image)
    case 3: return word(12)
    case 4: return long(8)
    case 5: return word(20)
    case 6: return long(16)
    default: return word(6)
    }
  }

  private static func setControl(_ index: Int, _ image: inout [UInt8], _ value: UInt32) {
    func put(_ offset: Int, _ count: Int) {
      for byte in 0..<count { image[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(byte * 8)) }
    }
    switch index {
    case 0: put(0, 2)
    case 1: put(2, 2)
    case 2:
      // Two bits a register; 3 is empty.
      image[4] = (0..<8).reduce(0) { $0 | (value >> UInt32($1 * 2) & 3 == 3 ? 0 : 1 << UInt8($1)) }
    case 3: put(12, 2)
    case 4: put(8, 4)
    case 5: put(20, 2)
    case 6: put(16, 4)
    default: put(6, 2)
    }
  }

  /// The full tag word: of each physical register whether it is valid (0), zero (1), special (2) or empty (3).
  private static func tags(_ image: [UInt8]) -> UInt32 {
    let top = Int(image[3] >> 3 & 7)
    var result: UInt32 = 0
    for physical in 0..<8 {
      var tag: UInt32 = 3
      if image[4] >> UInt8(physical) & 1 != 0 {
        let place = 32 + ((physical - top) & 7) * 16
        let exponent = UInt32(image[place + 8]) | UInt32(image[place + 9] & 0x7f) << 8
        let isZero = image[place..<(place + 8)].allSatisfy { $0 == 0 }
        if exponent == 0x7fff {
          tag = 2
        } else if exponent == 0 {
          tag = isZero ? 1 : 2
        } else {
          tag = image[place + 7] & 0x80 != 0 ? 0 : 2
        }
      }
      result |= tag << UInt32(physical * 2)
    }
    return result
  }
}
