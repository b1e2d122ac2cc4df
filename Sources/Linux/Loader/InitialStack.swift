// The stack that a program finds at its entry (System V x86-64 psABI 3.4.1; getauxval(3)), in the order of
// Linux:
//
//     top   8 zero bytes
//           path (AT_EXECFN), environment strings, argument strings
//           "x86_64" (AT_PLATFORM), 16 random bytes (AT_RANDOM)
//           auxiliary vector: pairs, AT_NULL last
//           environment pointers, 0
//           argument pointers, 0
//     rsp → argc                                          16-byte aligned
import GuestMemory

struct InitialStack {
  let request: LoadRequest
  /// AT_SYSINFO_EHDR; 0: there is no vdso.
  let vdso: UInt64
  let entry: UInt64
  let programHeaderAddress: UInt64
  let programHeaderCount: Int
  /// Load bias of the dynamic loader; 0 without one.
  let interpreterBase: UInt64
  let isExecutable: Bool

  /// Longest single argument or environment string, with its zero (MAX_ARG_STRLEN).
  private static let maximumString = 131_072
  /// Stack mapped beyond what the strings need; the rest grows when it is touched.
  private static let initialRoom: UInt64 = 131_072

  /// Linux allows strings and pointers a quarter of the stack, at most 6 MiB and at least 128 KiB.
  static func checkSize(of request: LoadRequest, stackLimit: UInt64) throws(LoadError) {
    let limit = max(min(stackLimit / 4, 6 << 20), 131_072)
    var size = UInt64(truncatingIfNeeded: request.path.count &+ 1)
    for string in request.arguments + request.environment {
      let length = string.count &+ 1
      if length > maximumString {
        throw .argumentsTooLarge(size: UInt64(truncatingIfNeeded: length), limit: UInt64(maximumString))
      }
      size = size &+ UInt64(truncatingIfNeeded: length) &+ 8
    }
    if size > limit { throw .argumentsTooLarge(size: size, limit: limit) }
  }

  /// Maps the stack, fills it and completes `program`.
  func build(in space: AddressSpace, _ program: inout LoadedProgram) throws(LoadError) {
    let slide = (request.slide.stack &* Page.size) & (1 << (space.addressBits &- 12) &- 1)
    let top = space.limit &- Page.size &- slide
    var strings = StringArea(top: top &- 8)
    let path = strings.add([request.path])
    let environment = strings.add(request.environment)
    let arguments = strings.add(request.arguments)
    program.environmentStrings = environment.extent
    program.argumentStrings = arguments.extent
    let platform = strings.add([Array("x86_64".utf8)]).pointers[0]
    let random = (strings.next &- 16) & ~15
    let vector = auxiliaryVector(
      path: path.pointers[0], platform: platform, random: random, hasSections: space.findsSections)
    var words: [UInt64] = [UInt64(truncatingIfNeeded: arguments.pointers.count)]
    words += arguments.pointers + [0] + environment.pointers + [0]
    let vectorIndex = words.count
    words += vector
    let size = UInt64(truncatingIfNeeded: words.count &* 8)
    let stackPointer = (random &- size) & ~15
    program.stackPointer = stackPointer
    let vectorStart = stackPointer &+ UInt64(truncatingIfNeeded: vectorIndex &* 8)
    program.auxiliaryVector = vectorStart..<vectorStart &+ UInt64(truncatingIfNeeded: vector.count &* 8)
    try map(in: space, from: Page.down(stackPointer &- InitialStack.initialRoom), to: top)
    let filled =
      space.copyOut(strings.bytes, to: GuestAddress(strings.next))
      && space.store(request.random.0, at: random) && space.store(request.random.1, at: random &+ 8)
      && words.withUnsafeBytes { space.copyOut($0, to: GuestAddress(stackPointer)) }
    if !filled { throw .memory(path: request.path, what: "the stack", number: 14) }
  }

  private func map(in space: AddressSpace, from start: UInt64, to end: UInt64) throws(LoadError) {
    var permissions: Permissions = [.read, .write]
    if isExecutable { permissions.insert(.execute) }
    var mapping = MapRequest(address: start, size: end &- start, permissions: permissions)
    mapping.placement = .fixedNoReplace
    mapping.flags = [.growsDown, .stack]
    do {
      _ = try space.map(mapping)
    } catch {
      throw .memory(path: request.path, what: "the stack", number: error.number)
    }
  }

  /// Pairs of key and value in the order of Linux 6.x on x86-64.
  private func auxiliaryVector(
    path: UInt64, platform: UInt64, random: UInt64, hasSections: Bool
  ) -> [UInt64] {
    var pairs: [UInt64] = []
    func add(_ key: UInt64, _ value: UInt64) { pairs += [key, value] }
    if vdso != 0 { add(33, vdso) }  // AT_SYSINFO_EHDR
    add(51, request.minimumSignalStack)  // AT_MINSIGSTKSZ
    add(16, UInt64(request.hardwareCapabilities))  // AT_HWCAP
    add(6, Page.size)  // AT_PAGESZ
    add(17, 100)  // AT_CLKTCK
    add(3, programHeaderAddress)  // AT_PHDR
    add(4, UInt64(ELFHeader.programHeaderSize))  // AT_PHENT
    add(5, UInt64(truncatingIfNeeded: programHeaderCount))  // AT_PHNUM
    add(7, interpreterBase)  // AT_BASE
    add(8, 0)  // AT_FLAGS
    add(9, entry)  // AT_ENTRY
    add(11, UInt64(request.user))  // AT_UID
    add(12, UInt64(request.effectiveUser))  // AT_EUID
    add(13, UInt64(request.group))  // AT_GID
    add(14, UInt64(request.effectiveGroup))  // AT_EGID
    let isSecure = request.user != request.effectiveUser || request.group != request.effectiveGroup
    add(23, isSecure ? 1 : 0)  // AT_SECURE
    add(25, random)  // AT_RANDOM
    add(26, UInt64(request.hardwareCapabilities2))  // AT_HWCAP2
    add(31, path)  // AT_EXECFN
    add(15, platform)  // AT_PLATFORM
    if hasSections {
      add(27, RestartableArea.featureSize)  // AT_RSEQ_FEATURE_SIZE
      add(28, RestartableArea.firstSize)  // AT_RSEQ_ALIGN
    }
    add(0, 0)  // AT_NULL
    return pairs
  }
}

/// Zero-terminated strings laid down from the top of the stack. `bytes` is what lies from `next` up.
private struct StringArea {
  private let top: UInt64
  private var groups: [[[UInt8]]] = []
  private(set) var next: UInt64

  init(top: UInt64) {
    self.top = top
    next = top
  }

  /// Adds a group of strings below what is there; the first of the group gets the lowest address.
  mutating func add(_ strings: [[UInt8]]) -> (pointers: [UInt64], extent: Range<UInt64>) {
    let end = next
    var size: UInt64 = 0
    for string in strings { size = size &+ UInt64(truncatingIfNeeded: string.count &+ 1) }
    next = end &- size
    groups.append(strings)
    var address = next
    var pointers: [UInt64] = []
    pointers.reserveCapacity(strings.count)
    for string in strings {
      pointers.append(address)
      address = address &+ UInt64(truncatingIfNeeded: string.count &+ 1)
    }
    return (pointers, next..<end)
  }

  var bytes: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(Int(truncatingIfNeeded: top &- next))
    for group in groups.reversed() {
      for string in group {
        result += string
        result.append(0)
      }
    }
    return result
  }
}
