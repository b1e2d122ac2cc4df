// The parts of a guest's own root: which calls are known, how paths are cut, where trees lie, what links of /proc mean, and walks in
// a small tree.
import Glibc
import GuestMemory
import LinuxABI
import Testing

@testable import Linux

/// A directory that goes away with the test.
private final class Tree {
  let path: String

  init() {
    var template = Array("/tmp/vitrine-tree-XXXXXX".utf8CString)
    if mkdtemp(&template) == nil { template = [0] }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = system("rm -rf '\(path)'") }

  func make(_ commands: String) { _ = system("cd '\(path)' && \(commands)") }
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension ProcessTests {
  @Suite(.serialized) struct RootTests {
    @Test func everyCallWithAPathIsKnown() {
      let table = SystemCallTable()
      // Refused as a whole when a guest has a root: mount, umount2, pivot_root, acct, quotactl, fanotify_mark, the mount interface.
      let refused: Set<Int> = [155, 163, 165, 166, 179, 301, 428, 429, 433, 442, 467]
      for number in 0..<SystemCallTable.size {
        guard let call = table[UInt64(number)], call.refusal == nil else { continue }
        let paths = call.parsed.arguments.filter { $0.kind == .path }.count
        if paths == 0 || refused.contains(number) { continue }
        let uses = RootedCall.of(number)?.uses.count
        #expect(uses == paths, "\(call.name)")
      }
    }

    @Test func componentsOfPaths() {
      func cut(_ path: String) -> [String] {
        PathWalk.components(bytes(path)[...]).map { String(decoding: $0, as: UTF8.self) }
      }
      #expect(cut("/a//b/c") == ["a", "b", "c"])
      #expect(cut("a/b/") == ["a", "b", ""])
      #expect(cut("/") == [])
      #expect(cut("//") == [])
      #expect(cut(".") == ["."])
    }

    @Test func linksOfProcesses() {
      func kind(_ directory: String, _ name: String) -> MagicLink.Kind? {
        MagicLink(directory: bytes(directory), name: bytes(name))?.kind
      }
      #expect(kind("/proc/12", "root") == .root)
      #expect(kind("/proc/12/task/13", "cwd") == .workingDirectory)
      #expect(kind("/proc/12/task/13/fd", "7") == .descriptor(7))
      #expect(kind("/proc/12/ns", "mnt") == .namespace)
      #expect(kind("/proc/12/map_files", "0-1") == .mapping)
      #expect(kind("/proc", "self") == nil)
      #expect(kind("/proc/sys", "root") == nil)
      #expect(MagicLink(directory: bytes("/proc/12/task/13"), name: bytes("exe"))?.process == 13)
    }

    @Test func namesOfSockets() throws {
      let names = try #require(SocketNames(Host()))
      for text in ["sock", "/run/a/b", "..//x/.", String(repeating: "n", count: 107)] {
        let number = names.add(bytes(text))
        for prefix in ["/proc/self/fd/1003", "/proc/thread-self/fd/4", "/proc/self/cwd"] {
          let told = bytes(prefix) + SocketNames.marks(number) + bytes("/last")
          #expect(names.guestName(told) == bytes(text))
        }
      }
      #expect(names.guestName(bytes("/run/other")) == bytes("/run/other"))
    }

    /// A process whose root is a tree with links, and something bound.
    private func rooted(_ tree: Tree, _ binds: [RootRequest.Bind] = []) throws -> (CallHarness, GuestRoot) {
      let harness = try CallHarness()
      var request = RootRequest()
      request.directory = bytes(tree.path + "/root")
      request.binds = binds
      let here = open(".", O_RDONLY | O_DIRECTORY)
      defer {
        fchdir(here)
        close(here)
      }
      try harness.process.enterRoot(request)
      return (harness, try #require(harness.process.root))
    }

    private func identity(_ path: String) -> FileIdentity? {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    @Test func walksStayInside() throws {
      let tree = Tree()
      tree.make("mkdir -p root/a/b outside && echo x > root/file && echo y > file && ln -s /file root/a/abs")
      tree.make("ln -s ../../../../file root/a/up && ln -s loop root/loop && ln -s / root/a/b/top")
      let (harness, root) = try rooted(tree)
      let inside = try #require(identity(tree.path + "/root/file"))
      for path in ["/file", "/../file", "/a/abs", "/a/up", "/a/b/../../../file", "/a/b/top/a/../../file"] {
        let walk = PathWalk(harness.process, root)
        defer { walk.finish() }
        let place = try walk.walk(-100, bytes(path), [.follow])
        #expect(place.object?.status.identity == inside, "\(path)")
      }
      for (path, number) in [("/loop", 40), ("/none", 2), ("/file/x", 20), ("/none/x", 2), ("/a/b/", 0)] {
        let walk = PathWalk(harness.process, root)
        defer { walk.finish() }
        do throws(MemoryError) {
          _ = try walk.walk(-100, bytes(path), [.follow])
          #expect(number == 0, "\(path)")
        } catch {
          #expect(error.number == Int32(number), "\(path)")
        }
      }
    }

    @Test func bindsStandWhereTheyArePut() throws {
      let tree = Tree()
      tree.make("mkdir -p root/a root/dev extra/sub && echo e > extra/file")
      let (harness, root) = try rooted(
        tree,
        [
          RootRequest.Bind(source: bytes(tree.path + "/extra"), target: bytes("/a/new"), isReadOnly: true),
          RootRequest.Bind(source: bytes(tree.path + "/extra/file"), target: bytes("/one"), isReadOnly: true),
        ])
      for (path, host) in [
        ("/a/new", "/extra"), ("/a/new/sub/../file", "/extra/file"), ("/a/new/..", "/root/a"),
        ("/one", "/extra/file"),
        ("/a/new/sub/../../../one", "/extra/file"),
      ] {
        let walk = PathWalk(harness.process, root)
        defer { walk.finish() }
        let place = try walk.walk(-100, bytes(path), [.follow])
        #expect(place.object?.status.identity == identity(tree.path + host), "\(path)")
      }
      #expect(root.guestPath(bytes(tree.path + "/extra/sub")) == bytes("/a/new/sub"))
      #expect(root.guestPath(bytes(tree.path + "/root/a")) == bytes("/a"))
      #expect(root.guestPath(bytes(tree.path + "/root")) == bytes("/"))
      #expect(root.guestPath(bytes(tree.path + "/rootless")) == nil)
      #expect(root.shownPath(bytes("/etc")) == bytes("(unreachable)"))
      let text = String(decoding: harness.process.mountText("mounts", root) ?? [], as: UTF8.self)
      #expect(text.contains(" /a/new ") && text.contains(" ro ") && !text.contains(tree.path))
    }
  }
}
