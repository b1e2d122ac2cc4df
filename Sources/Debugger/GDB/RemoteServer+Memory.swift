// Registers, memory, breakpoints and watchpoints of the remote protocol.

import Engine
import GuestMemory

extension RemoteServer {
  static let success = Array("OK".utf8)
  static let failure = Array("E01".utf8)
  /// Memory that is not there: EFAULT.
  static let badAddress = Array("E0e".utf8)

  // MARK: Registers

  func readAllRegisters(_ target: any RemoteTarget) -> [UInt8] {
    guard let thread = generalThread(target) else { return RemoteServer.failure }
    let access = thread.access
    return Hex.bytes(registers.registers.flatMap { access.read($0) })
  }

  func writeAllRegisters(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard let thread = generalThread(target), let bytes = Hex.decoded(text) else {
      return RemoteServer.failure
    }
    var values: [RegisterValue] = []
    var place = 0
    for register in registers.registers {
      guard place + register.size <= bytes.count else { break }
      values.append(RegisterValue(register: register, bytes: Array(bytes[place..<(place + register.size)])))
      place += register.size
    }
    return target.write(values, to: thread) ?? RemoteServer.success
  }

  func readRegister(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    guard let thread = generalThread(target), let number = Hex.number(text),
      number < UInt64(registers.registers.count)
    else { return RemoteServer.failure }
    return Hex.bytes(thread.access.read(registers.registers[Int(number)]))
  }

  /// `P` number = value.
  func writeRegister(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget) -> [UInt8] {
    let parts = text.split(separator: UInt8(ascii: "="), maxSplits: 1)
    guard parts.count == 2, let number = Hex.number(parts[0]), number < UInt64(registers.registers.count),
      let value = Hex.decoded(parts[1]), let thread = generalThread(target)
    else { return RemoteServer.failure }
    let written = RegisterValue(register: registers.registers[Int(number)], bytes: value)
    return target.write([written], to: thread) ?? RemoteServer.success
  }

  // MARK: Memory

  /// `address,length` in front of `:` or the end, and what follows.
  private func range(_ text: ArraySlice<UInt8>) -> (address: UInt64, count: Int, rest: ArraySlice<UInt8>)? {
    let end = text.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
    let parts = text[..<end].split(separator: UInt8(ascii: ","))
    guard parts.count == 2, let address = Hex.number(parts[0]), let count = Hex.number(parts[1]),
      count < 1 << 30
    else { return nil }
    return (address, Int(count), end < text.endIndex ? text[(end + 1)...] : [])
  }

  func readMemory(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget, isBinary: Bool) -> [UInt8] {
    guard let (address, count, _) = range(text), let memory = target.memory else {
      return RemoteServer.failure
    }
    let most = RemoteServer.packetSize / 2 - 16
    let bytes = memory.peek(address, count: min(count, most))
    if bytes.isEmpty, count > 0 { return RemoteServer.badAddress }
    return isBinary ? [UInt8(ascii: "b")] + bytes : Hex.bytes(bytes)
  }

  func writeMemory(_ text: ArraySlice<UInt8>, _ target: any RemoteTarget, isBinary: Bool) -> [UInt8] {
    guard let (address, count, rest) = range(text),
      let bytes = isBinary ? Array(rest) : Hex.decoded(rest), bytes.count == count
    else { return RemoteServer.failure }
    // With no bytes a debugger asks whether it may send them as they are.
    if count == 0 { return RemoteServer.success }
    return target.write(bytes, at: address) ?? RemoteServer.success
  }

  // MARK: Breakpoints

  /// `Z` or `z` type, address, kind; then conditions and commands.
  func changeBreakpoint(_ data: [UInt8], _ target: any RemoteTarget) -> [UInt8] {
    let isSet = data[0] == UInt8(ascii: "Z")
    // A child that waits has no breakpoints.
    if target.holds(child: session.general) { return RemoteServer.success }
    let sections = data.dropFirst().split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    let words = (sections.first ?? []).split(separator: UInt8(ascii: ","))
    guard words.count == 3, let type = Hex.number(words[0]), let address = Hex.number(words[1]),
      let kind = Hex.number(words[2])
    else { return RemoteServer.failure }
    switch type {
    case 0, 1:
      guard let conditions = conditions(sections.dropFirst()) else { return RemoteServer.failure }
      return setBreakpoint(address, isSet, isHardware: type == 1, conditions, target)
    case 2: return setWatchpoint(address, kind, .change, isSet, target)
    case 3: return setWatchpoint(address, kind, .read, isSet, target)
    case 4: return setWatchpoint(address, kind, [.read, .write, .change], isSet, target)
    default: return []
    }
  }

  private func setBreakpoint(
    _ address: UInt64, _ isSet: Bool, isHardware: Bool, _ conditions: [AgentExpression],
    _ target: any RemoteTarget
  ) -> [UInt8] {
    guard target.memory?.query(address) != nil || !isSet else { return RemoteServer.badAddress }
    var breakpoint = breakpoints[address] ?? Breakpoint()
    if isHardware { breakpoint.isHardware = isSet } else { breakpoint.isSoftware = isSet }
    if isSet { breakpoint.conditions = conditions }
    let isLeft = breakpoint.isSoftware || breakpoint.isHardware
    breakpoints[address] = isLeft ? breakpoint : nil
    target.setBreakpoint(address, isLeft)
    return RemoteServer.success
  }

  private func setWatchpoint(
    _ address: UInt64, _ size: UInt64, _ kinds: AccessKinds, _ isSet: Bool, _ target: any RemoteTarget
  ) -> [UInt8] {
    guard size > 0 else { return RemoteServer.failure }
    let watchpoint = Watchpoint(address: address, size: size, kinds: kinds)
    // What is not supported gets an empty answer.
    return target.setRemoteWatchpoint(watchpoint, isSet) ? RemoteServer.success : []
  }

  /// `X` length, bytes: one expression after the other. Commands (`cmds:`) are not for us.
  private func conditions(_ sections: ArraySlice<ArraySlice<UInt8>>) -> [AgentExpression]? {
    var result: [AgentExpression] = []
    for section in sections where section.first == UInt8(ascii: "X") {
      var rest = section[...]
      while rest.first == UInt8(ascii: "X") {
        guard let comma = rest.firstIndex(of: UInt8(ascii: ",")),
          let length = Hex.number(rest[(rest.startIndex + 1)..<comma]), length <= 0x4000,
          rest.count >= comma - rest.startIndex + 1 + Int(length) * 2
        else { return nil }
        let end = comma + 1 + Int(length) * 2
        guard let code = Hex.decoded(rest[(comma + 1)..<end]) else { return nil }
        result.append(AgentExpression(code: code))
        rest = rest[end...]
      }
    }
    return result
  }

  /// Whether a thread that meets a breakpoint is to stop there. Conditions that cannot be worked out stop.
  func stops(_ thread: any RemoteThread, _ memory: AddressSpace?) -> Bool {
    guard let breakpoint = breakpoints[thread.instructionPointer], !breakpoint.conditions.isEmpty, let memory
    else { return true }
    let access = thread.access
    let table = registers.registers
    let source = AgentExpression.Source(
      register: { number in
        guard number < table.count, table[number].size <= 8 else { return nil }
        return RegisterAccess.value(access.read(table[number]))
      },
      memory: { address, size in
        let bytes = memory.peek(address, count: size)
        return bytes.count == size ? RegisterAccess.value(bytes) : nil
      })
    for condition in breakpoint.conditions {
      do {
        if try condition.evaluate(source) != 0 { return true }
      } catch {
        return true
      }
    }
    return false
  }
}
