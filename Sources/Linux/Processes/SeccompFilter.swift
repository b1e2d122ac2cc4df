// The programs of seccomp(2): classic BPF over one system call (networking/filter.rst and userspace-api/seccomp_filter.rst of the
// kernel's documentation). `init` makes the kernel's checks; what has passed them only jumps forward, ends with a RET, and reads
// nothing that it has not written, so `run` always ends and cannot fail.

/// What a program sees: `struct seccomp_data`, as sixteen 32-bit words.
struct SeccompData {
  /// Bytes of the structure.
  static let size: UInt32 = 64
  /// AUDIT_ARCH_X86_64.
  static let architecture: UInt32 = 0xc000_003e

  private(set) var number: UInt32
  private(set) var instructionPointer: UInt64
  private(set) var arguments: Arguments

  init(number: UInt32, instructionPointer: UInt64, arguments: Arguments) {
    (self.number, self.instructionPointer, self.arguments) = (number, instructionPointer, arguments)
  }

  /// The 32-bit word at byte `offset`, a multiple of four; 0 behind the end.
  subscript(offset: UInt32) -> UInt32 {
    switch offset {
    case 0: return number
    case 4: return SeccompData.architecture
    case 8: return UInt32(truncatingIfNeeded: instructionPointer)
    case 12: return UInt32(truncatingIfNeeded: instructionPointer >> 32)
    case 16..<SeccompData.size:
      let argument = arguments[Int(offset &- 16) >> 3]
      return UInt32(truncatingIfNeeded: offset & 4 == 0 ? argument : argument >> 32)
    default: return 0
    }
  }
}

/// `struct sock_filter`: one instruction.
struct FilterInstruction: Equatable {
  /// Bytes of the structure.
  static let size = 8

  var code: UInt16
  /// How many instructions a conditional jump passes over, if its condition is true, and if it is not.
  var ifTrue: UInt8 = 0
  var ifFalse: UInt8 = 0
  /// The constant.
  var k: UInt32 = 0

  /// What the kernel's own form of the program needs for it: the limit of all of a thread's programs counts these.
  fileprivate var kernelLength: Int {
    switch code {
    case FilterCode.returnK: return 2
    case FilterCode.divide | FilterCode.byX: return 5
    case FilterCode.ifEqual, FilterCode.ifGreater, FilterCode.ifNotLess, FilterCode.ifSet:
      // Constants are signed there.
      return (k >> 31 == 0 ? 0 : 1) + jumpLength
    case FilterCode.ifEqual | FilterCode.byX, FilterCode.ifGreater | FilterCode.byX,
      FilterCode.ifNotLess | FilterCode.byX, FilterCode.ifSet | FilterCode.byX:
      return jumpLength
    default: return 1
    }
  }

  /// Two jumps, unless the next instruction is one of the targets. Nothing is the opposite of JSET.
  private var jumpLength: Int {
    if ifFalse == 0 { return 1 }
    return ifTrue == 0 && code & ~FilterCode.byX != FilterCode.ifSet ? 1 : 2
  }
}

/// The instructions that are allowed; A and X are the two registers, M the sixteen words of memory.
private enum FilterCode {
  static let loadConstant: UInt16 = 0x00
  static let loadXConstant: UInt16 = 0x01
  static let loadData: UInt16 = 0x20
  static let loadSize: UInt16 = 0x80
  static let loadXSize: UInt16 = 0x81
  static let loadMemory: UInt16 = 0x60
  static let loadXMemory: UInt16 = 0x61
  static let store: UInt16 = 0x02
  static let storeX: UInt16 = 0x03
  static let add: UInt16 = 0x04
  static let subtract: UInt16 = 0x14
  static let multiply: UInt16 = 0x24
  static let divide: UInt16 = 0x34
  static let or: UInt16 = 0x44
  static let and: UInt16 = 0x54
  static let shiftLeft: UInt16 = 0x64
  static let shiftRight: UInt16 = 0x74
  static let negate: UInt16 = 0x84
  static let exclusiveOr: UInt16 = 0xa4
  static let jump: UInt16 = 0x05
  static let ifEqual: UInt16 = 0x15
  static let ifGreater: UInt16 = 0x25
  static let ifNotLess: UInt16 = 0x35
  static let ifSet: UInt16 = 0x45
  static let returnK: UInt16 = 0x06
  static let returnA: UInt16 = 0x16
  static let copyAToX: UInt16 = 0x07
  static let copyXToA: UInt16 = 0x87
  /// Added to arithmetic and comparisons: the operand is X instead of the constant.
  static let byX: UInt16 = 0x08

  static func isConditional(_ code: UInt16) -> Bool {
    switch code & ~byX {
    case ifEqual, ifGreater, ifNotLess, ifSet: return true
    default: return false
    }
  }
}

/// A checked program. An object, because threads share filters and compare whose they have.
final class SeccompFilter {
  /// BPF_MAXINSNS.
  static let mostInstructions = 4096
  /// Of all programs of a thread, in the kernel's form, and what each further program counts besides.
  static let mostInstructionsOfAll = 32768
  static let extraInstructions = 4
  private static let memoryWords = 16

  private let instructions: [FilterInstruction]
  /// Instructions in the kernel's form; three set the registers up.
  let kernelLength: Int

  /// Nil: the kernel would refuse it with EINVAL.
  init?(_ instructions: [FilterInstruction]) {
    guard let last = instructions.last, instructions.count <= SeccompFilter.mostInstructions,
      last.code == FilterCode.returnK || last.code == FilterCode.returnA
    else { return nil }
    for (place, instruction) in instructions.enumerated() {
      let behind = instructions.count &- place &- 1
      if !SeccompFilter.isAllowed(instruction, instructionsBehind: behind) { return nil }
    }
    if !SeccompFilter.readsOnlyWhatItWrites(instructions) { return nil }
    self.instructions = instructions
    kernelLength = instructions.reduce(3) { $0 &+ $1.kernelLength }
  }

  // MARK: Checks

  private static func isAllowed(_ instruction: FilterInstruction, instructionsBehind: Int) -> Bool {
    let k = instruction.k
    switch instruction.code {
    case FilterCode.loadData: return k < SeccompData.size && k & 3 == 0
    case FilterCode.loadMemory, FilterCode.loadXMemory, FilterCode.store, FilterCode.storeX:
      return k < UInt32(memoryWords)
    case FilterCode.divide: return k != 0
    case FilterCode.shiftLeft, FilterCode.shiftRight: return k < 32
    case FilterCode.jump: return Int(k) < instructionsBehind
    case FilterCode.loadConstant, FilterCode.loadXConstant, FilterCode.loadSize, FilterCode.loadXSize,
      FilterCode.negate, FilterCode.returnK, FilterCode.returnA, FilterCode.copyAToX, FilterCode.copyXToA:
      return true
    default: break
    }
    if FilterCode.isConditional(instruction.code) {
      return max(Int(instruction.ifTrue), Int(instruction.ifFalse)) < instructionsBehind
    }
    switch instruction.code & ~FilterCode.byX {
    case FilterCode.add, FilterCode.subtract, FilterCode.multiply, FilterCode.divide, FilterCode.or,
      FilterCode.and, FilterCode.shiftLeft, FilterCode.shiftRight, FilterCode.exclusiveOr:
      return true
    default: return false
    }
  }

  /// Whether words of memory have been written on all ways to where they are read. A bit stands for a word.
  private static func readsOnlyWhatItWrites(_ instructions: [FilterInstruction]) -> Bool {
    let all: UInt16 = .max
    var atTarget = [UInt16](repeating: all, count: instructions.count)
    var written: UInt16 = 0
    func reach(_ target: Int) {
      if target < atTarget.count { atTarget[target] &= written }
    }
    for (place, instruction) in instructions.enumerated() {
      written &= atTarget[place]
      let word: UInt16 = 1 &<< UInt16(truncatingIfNeeded: instruction.k)
      switch instruction.code {
      case FilterCode.store, FilterCode.storeX: written |= word
      case FilterCode.loadMemory, FilterCode.loadXMemory:
        if written & word == 0 { return false }
      case FilterCode.jump:
        reach(place &+ 1 &+ Int(instruction.k))
        // Nobody gets to the next instruction from here; who does says what it finds.
        written = all
      case let code where FilterCode.isConditional(code):
        reach(place &+ 1 &+ Int(instruction.ifTrue))
        reach(place &+ 1 &+ Int(instruction.ifFalse))
        written = all
      default: break
      }
    }
    return true
  }

  // MARK: Execution

  /// What the program says of a call: an action and its data.
  // PERF: the array is a variable, so that it is not retained for each instruction.
  func run(_ data: SeccompData) -> UInt32 {
    let instructions = instructions
    return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: SeccompFilter.memoryWords) { memory in
      memory.initialize(repeating: 0)
      var state = FilterState(data: data, memory: memory)
      var place = 0
      while place < instructions.count {
        let instruction = instructions[place]
        if let result = state.execute(instruction, &place) { return result }
        place &+= 1
      }
      // Never reached: the last instruction returns.
      return 0
    }
  }
}

/// The registers of a program that runs.
private struct FilterState {
  let data: SeccompData
  let memory: UnsafeMutableBufferPointer<UInt32>
  var a: UInt32 = 0
  var x: UInt32 = 0

  init(data: SeccompData, memory: UnsafeMutableBufferPointer<UInt32>) {
    (self.data, self.memory) = (data, memory)
  }

  /// The program's result, when the instruction ends it. A jump moves `place` in front of its target.
  @inline(__always)
  mutating func execute(_ instruction: FilterInstruction, _ place: inout Int) -> UInt32? {
    let k = instruction.k
    switch instruction.code {
    case FilterCode.loadConstant: a = k
    case FilterCode.loadXConstant: x = k
    case FilterCode.loadData: a = data[k]
    case FilterCode.loadSize: a = SeccompData.size
    case FilterCode.loadXSize: x = SeccompData.size
    case FilterCode.loadMemory: a = memory[Int(k & 15)]
    case FilterCode.loadXMemory: x = memory[Int(k & 15)]
    case FilterCode.store: memory[Int(k & 15)] = a
    case FilterCode.storeX: memory[Int(k & 15)] = x
    case FilterCode.negate: a = 0 &- a
    case FilterCode.copyAToX: x = a
    case FilterCode.copyXToA: a = x
    case FilterCode.jump: place &+= Int(k)
    case FilterCode.returnK: return k
    case FilterCode.returnA: return a
    default:
      let operand = instruction.code & FilterCode.byX == 0 ? k : x
      if FilterCode.isConditional(instruction.code) {
        let isTrue = compare(instruction.code & ~FilterCode.byX, operand)
        place &+= Int(isTrue ? instruction.ifTrue : instruction.ifFalse)
      } else {
        return compute(instruction.code & ~FilterCode.byX, operand)
      }
    }
    return nil
  }

  @inline(__always)
  private func compare(_ code: UInt16, _ operand: UInt32) -> Bool {
    switch code {
    case FilterCode.ifEqual: return a == operand
    case FilterCode.ifGreater: return a > operand
    case FilterCode.ifNotLess: return a >= operand
    default: return a & operand != 0
    }
  }

  /// A division by an X of zero ends the program with 0.
  @inline(__always)
  private mutating func compute(_ code: UInt16, _ operand: UInt32) -> UInt32? {
    switch code {
    case FilterCode.add: a = a &+ operand
    case FilterCode.subtract: a = a &- operand
    case FilterCode.multiply: a = a &* operand
    case FilterCode.divide:
      if operand == 0 { return 0 }
      a /= operand
    case FilterCode.or: a |= operand
    case FilterCode.and: a &= operand
    case FilterCode.shiftLeft: a = a &<< operand
    case FilterCode.shiftRight: a = a &>> operand
    default: a ^= operand
    }
    return nil
  }
}
