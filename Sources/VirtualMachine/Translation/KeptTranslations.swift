// Translations that outlive a run: a folder with one file for each program (Translator/Store). The blocks in it are signed
// with a key that the host's kernel keeps in the user's keyring, which guests cannot reach (keyctl(2) is refused them): they may
// be able to write the file, but nothing that is taken from it. Where there is no such key nothing is kept.
import CHost
import GuestMemory
import Linux
import Translator

/// The store of one process, through all programs that it executes. Used under the address space's lock.
/// Nothing is open between its calls: descriptors are the guest's.
final class KeptTranslations {
  /// A file is written when so many blocks are new, or a sixteenth of those that it has; a quarter if it is full.
  private static let fewBlocks = 32
  /// Bytes of all files; when there are more, those that were written first go.
  private static let mostBytes: UInt64 = 512 << 20

  private unowned let process: LinuxProcess
  private let engine: TranslatorEngine
  private let key: StoreKey
  /// What translates, as a hash.
  private let translator: UInt64
  private let folder: StoreFolder
  /// Of the present program's file; nil: nothing is kept of it.
  private var name: [UInt8]?
  /// Of the file's contents.
  private var identity: UInt64 = 0
  /// The file when it was read; nil: there was none.
  private var file: StoreFolder.Identity?
  private var knownBlocks = 0
  /// New blocks that are worth a new file.
  private var least = 0

  /// `path` is absolute. Nil when there is no key or no folder of the user's own.
  init?(_ path: [UInt8], _ process: LinuxProcess, _ engine: TranslatorEngine, isGuarded: Bool) {
    guard let build = StoreKey.build(), let key = StoreKey.ofUser(), let folder = StoreFolder(path)
    else { return nil }
    self.process = process
    self.engine = engine
    self.key = key
    self.folder = folder
    let options = [isGuarded ? 1 : 0, engine.executesVectors512 ? 1 : 0, UInt64(vt_host_float_features())]
    translator = (build + options).withUnsafeBytes { key.hash($0) }
  }

  /// A program has been loaded: opens its file.
  func begin() {
    name = nil
    knownBlocks = engine.statistics.blocks
    guard let descriptor = process.programDescriptor, let program = StoreFolder.status(descriptor) else {
      return engine.use(nil)
    }
    let place = [translator, program.device, program.inode].withUnsafeBytes { key.hash($0, seed: 2) }
    let version = [program.device, program.inode, program.size, program.modified.0, program.modified.1]
    identity = (version + [translator]).withUnsafeBytes { key.hash($0, seed: 3) }
    let name = StoreFolder.fileName(place)
    let store = openStore(name)
    least = max(KeptTranslations.fewBlocks, store.count / (store.isFull ? 4 : 16))
    self.name = name
    engine.use(store)
  }

  /// What the file has now.
  private func openStore(_ name: [UInt8]) -> TranslationStore {
    let mapping = folder.map(name, most: TranslationStore.mostBytes)
    file = mapping?.identity
    return TranslationStore(key: key, identity: identity, file: mapping?.start, size: mapping?.size ?? 0)
  }

  /// The program has ended, or another one is about to take its place: writes its file, if it is worth that. What others have
  /// written since it was read stays, and counts as known: of a shell's two hundred children that all find the same one writes.
  func end() {
    guard let name, engine.statistics.blocks - knownBlocks >= least else { return }
    knownBlocks = engine.statistics.blocks
    let newer = folder.identity(name) == file ? nil : openStore(name)
    // RLIMIT_FSIZE: whoever writes more is sent a signal.
    let fileSize: Int32 = 1
    guard let bytes = engine.storedForm(least: least, newer: newer),
      process.hostLimit(fileSize).soft >= UInt64(bytes.count)
    else { return }
    if folder.write(bytes, to: name, process.host) { folder.prune(to: KeptTranslations.mostBytes) }
  }

  /// In a forked child: what the parent has translated is the parent's to write.
  func forked() { knownBlocks = engine.statistics.blocks }
}

extension StoreKey {
  /// The linker's name for this executable, by which its translations differ from those of other versions.
  static func build() -> [UInt64]? {
    var words: [UInt64] = [0, 0, 0]
    let size = words.withUnsafeMutableBytes { vt_build_id($0.baseAddress, $0.count) }
    return size > 0 ? words : nil
  }

  /// The key in the user's keyring (user-keyring(7)), which is made when there is none.
  static func ofUser() -> StoreKey? {
    let (search, read, permit) = (10 as Int64, 11 as Int64, 5 as Int64)
    let userKeyring: Int64 = -4
    func keyctl(_ what: Int64, _ a: Int64, _ b: Int64 = 0, _ c: Int64 = 0) -> Int64 {
      vt_syscall6(250, what, a, b, c, 0, 0)
    }
    func address(_ text: StaticString) -> Int64 { Int64(Int(bitPattern: text.utf8Start)) }
    let (type, name): (StaticString, StaticString) = ("user", "vitrine:translations")
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { words -> StoreKey? in
      let place = Int64(Int(bitPattern: words.baseAddress))
      var key = keyctl(search, userKeyring, address(type), address(name))
      if key < 0 {
        // getrandom(2); add_key(2); whoever has the same user may read it, whatever session that is.
        guard vt_syscall6(318, place, 16, 0, 0, 0, 0) == 16 else { return nil }
        key = vt_syscall6(248, address(type), address(name), place, 16, userKeyring, 0)
        if key < 0 || keyctl(permit, key, 0x3f1f_0000) < 0 { return nil }
      }
      words.initialize(repeating: 0)
      guard keyctl(read, key, place, 16) == 16 else { return nil }
      return StoreKey(low: words[0], high: words[1])
    }
  }
}
