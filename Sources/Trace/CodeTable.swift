// Every instruction that was executed, decoded once: an array of entries, and for each page of code a table from its bytes to entries.
// When code changes, the page's table is dropped, and what is decoded there then gets new entries; old ones stay, because counts
// belong to them.
import Engine
import GuestMemory
import X86

/// What an instruction does to the flow of control.
enum Flow: UInt8 {
  case next, call, ret, jump, branch, systemCall
}

/// A decoded instruction at its address.
struct CodeEntry {
  var address: UInt64
  var instruction: Instruction
  var flow: Flow
  /// It belongs to what is to be traced.
  var isWanted: Bool
  var accesses: AccessPlan
}

final class CodeTable {
  private let memory: AddressSpace
  private let reader: CodeReader
  private var observer: CodeObserver?
  // SAFETY: `count` initialised entries of `capacity`; the memory is replaced when it grows, and freed in deinit.
  private(set) var entries: UnsafeMutablePointer<CodeEntry>
  private var capacity = 1 << 12
  private(set) var count = 0
  /// Bytes of each instruction: the first sixteen belong to entry 0.
  private(set) var bytes: [UInt8] = []
  // SAFETY: tables of `Page.size` indices, -1 where nothing was decoded; freed when a page is dropped, and in deinit.
  private var pages: [UInt64: UnsafeMutablePointer<Int32>] = [:]
  private var lastPage = UInt64.max
  private var lastTable: UnsafeMutablePointer<Int32>?
  /// Whether an address is to be traced; asked once an entry.
  var isWanted: (UInt64) -> Bool = { _ in true }

  init(memory: AddressSpace) {
    self.memory = memory
    reader = CodeReader(memory: memory)
    entries = .allocate(capacity: capacity)
    let observer = CodeObserver(
      hasCode: { [unowned self] in !pages.isEmpty && has($0) }, forget: { [unowned self] in forget($0) })
    self.observer = observer
    memory.add(observer)
  }

  deinit {
    if let observer { memory.remove(observer) }
    forgetAll()
    entries.deallocate()
  }

  /// The entry of the instruction at `address`; nil where there is none.
  // PERF: once an instruction.
  @inline(__always) func entry(at address: UInt64) -> Int? {
    if address &>> Page.shift == lastPage, let lastTable {
      // SAFETY: below `Page.size`.
      let index = lastTable[Int(truncatingIfNeeded: address & Page.mask)]
      if index >= 0 { return Int(index) }
    }
    return find(address)
  }

  private func find(_ address: UInt64) -> Int? {
    let page = address &>> Page.shift
    if let table = pages[page] {
      (lastPage, lastTable) = (page, table)
      let index = table[Int(truncatingIfNeeded: address & Page.mask)]
      if index >= 0 { return Int(index) }
    }
    var instruction = Instruction()
    reader.begin(address)
    guard reader.decode(address, into: &instruction) == .valid, count < Int(Int32.max) - 1 else { return nil }
    // From now on changes there are noticed.
    memory.markCode(from: address, to: address &+ UInt64(instruction.length))
    let table = table(page)
    table[Int(truncatingIfNeeded: address & Page.mask)] = Int32(count)
    if count == capacity { grow() }
    (entries + count).initialize(
      to: CodeEntry(
        address: address, instruction: instruction, flow: CodeTable.flow(instruction),
        isWanted: isWanted(address), accesses: AccessPlan(instruction)))
    let code = reader.bytes(at: address)
    for index in 0..<16 { bytes.append(index < Int(instruction.length) ? code[index] : 0) }
    count += 1
    return count - 1
  }

  private func table(_ page: UInt64) -> UnsafeMutablePointer<Int32> {
    if let table = pages[page] { return table }
    let table = UnsafeMutablePointer<Int32>.allocate(capacity: Int(Page.size))
    table.initialize(repeating: -1, count: Int(Page.size))
    pages[page] = table
    (lastPage, lastTable) = (page, table)
    return table
  }

  private func grow() {
    let larger = UnsafeMutablePointer<CodeEntry>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: entries, count: count)
    entries.deallocate()
    entries = larger
    capacity *= 2
  }

  private func has(_ range: Range<UInt64>) -> Bool { pages.keys.contains { range.contains($0) } }

  private func forget(_ range: Range<UInt64>) {
    // An instruction of the page in front may reach into this one.
    let first = range.lowerBound > 0 ? range.lowerBound - 1 : 0
    for page in pages.keys where page >= first && page < range.upperBound { drop(page) }
  }

  private func drop(_ page: UInt64) {
    pages.removeValue(forKey: page)?.deallocate()
    if page == lastPage { (lastPage, lastTable) = (.max, nil) }
  }

  /// What is traced, or mapped, is other code now.
  func forgetAll() {
    for table in pages.values { table.deallocate() }
    pages = [:]
    (lastPage, lastTable) = (.max, nil)
  }

  private static func flow(_ instruction: Instruction) -> Flow {
    let info = instruction.info
    guard info.attributes.contains(.flow) else { return .next }
    let name = info.mnemonic
    if name.equals("call") { return .call }
    if name.hasPrefix("ret") { return .ret }
    if name.equals("jmp") || name.hasPrefix("iret") { return .jump }
    if name.equals("syscall") { return .systemCall }
    return name.hasPrefix("j") || name.hasPrefix("loop") ? .branch : .next
  }
}
