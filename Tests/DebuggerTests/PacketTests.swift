// Packets of the remote protocol: framing and unframing, and that nothing that comes in can be more than data.

import Testing

@testable import Debugger

@Suite struct PacketTests {
  private func events(_ bytes: [UInt8], limit: Int = 1000) -> [PacketReader.Event] {
    var reader = PacketReader(limit: limit)
    return bytes.compactMap { reader.take($0) }
  }

  @Test func framesAsTheManualSays() {
    #expect(Packet.framed(Array("qC".utf8)) == Array("$qC#b4".utf8))
    #expect(Packet.framed([]) == Array("$#00".utf8))
    // `#`, `$`, `}` and `*` are escaped, and the checksum counts what is sent.
    #expect(Packet.framed([0x23]) == Array("$}".utf8) + [0x03] + Array("#80".utf8))
  }

  @Test func everyByteSurvives() {
    let data = (0...255).map { UInt8($0) }
    #expect(events(Packet.framed(data)) == [.packet(data)])
  }

  @Test func tellsWhatComesBetweenPackets() {
    let stream = Array("+-".utf8) + [3] + Array("noise$OK#9a".utf8) + [3]
    #expect(
      events(stream) == [.acknowledged, .refused, .interrupt, .packet(Array("OK".utf8)), .interrupt])
  }

  @Test func refusesWhatIsBroken() {
    #expect(events(Array("$OK#9b".utf8)) == [.damaged])
    #expect(events(Array("$OK#zz".utf8)) == [.damaged])
    // An escape without anything behind it.
    #expect(events(Array("$}#7d".utf8)) == [.damaged])
    #expect(events(Array("$OK#9a".utf8), limit: 1) == [.damaged])
    // A packet that begins within another: the first one was cut off.
    #expect(events(Array("$half$OK#9a".utf8)) == [.packet(Array("OK".utf8))])
    #expect(events(Array("$OK#9".utf8)) == [])
  }

  @Test func ignoresChecksumsWhenTold() {
    var reader = PacketReader(limit: 100)
    reader.checksChecksum = false
    let found = Array("$OK#00".utf8).compactMap { reader.take($0) }
    #expect(found == [.packet(Array("OK".utf8))])
  }

  @Test func randomBytesAreOnlyData() {
    var random = SystemRandomNumberGenerator()
    var reader = PacketReader(limit: 64)
    var longest = 0
    for _ in 0..<200_000 {
      let choice = UInt8.random(in: 0...7, using: &random)
      let special: [UInt8] = [0x24, 0x23, 0x7d, 0x30]
      let byte = choice < 4 ? special[Int(choice)] : UInt8.random(in: 0...255, using: &random)
      if case .packet(let data)? = reader.take(byte) { longest = max(longest, data.count) }
    }
    #expect(longest <= 64)
  }

  @Test func hexadecimalNumbers() {
    #expect(Hex.number(Array("1fF".utf8)) == 0x1ff)
    #expect(Hex.number(Array("".utf8)) == nil)
    #expect(Hex.number(Array("12345678123456781".utf8)) == nil)
    #expect(Hex.number(Array("1x".utf8)) == nil)
    #expect(Hex.decoded(Array("00ff7E".utf8)) == [0, 255, 0x7e])
    #expect(Hex.decoded(Array("0".utf8)) == nil)
    #expect(Hex.bytes([0x0a, 0xf0]) == Array("0af0".utf8))
  }

  @Test func signalsHaveTwoNumbers() {
    #expect(GDBSignals.number(of: 10) == 30)
    #expect(GDBSignals.number(of: 7) == 10)
    #expect(GDBSignals.number(of: 34) == 46)
    for signal in Int32(0)...64 where signal != 16 {
      #expect(GDBSignals.signal(of: GDBSignals.number(of: signal)) == signal)
    }
    #expect(GDBSignals.signal(of: 143) == nil)
  }

  @Test func addressesOfDebuggers() {
    func parse(_ text: String) -> DebuggerAddress? { DebuggerAddress(Array(text.utf8)) }
    #expect(parse(":1234") == .tcp(host: [127, 0, 0, 1], port: 1234))
    #expect(parse("10.0.0.7:80") == .tcp(host: [10, 0, 0, 7], port: 80))
    #expect(parse("*:0") == .tcp(host: [0, 0, 0, 0], port: 0))
    #expect(parse("[::1]:5") == .tcp(host: [UInt8](repeating: 0, count: 15) + [1], port: 5))
    #expect(parse("STDIO") == .standardStreams)
    #expect(parse("unix:/tmp/x") == .unix(Array("/tmp/x".utf8)))
    for wrong in ["", "1234", "host:1", "1.2.3:4", ":65536", "unix:", "1.2.3.256:4"] {
      #expect(parse(wrong) == nil, "\(wrong)")
    }
  }
}
