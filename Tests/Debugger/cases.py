"""Debugger sessions: what is typed into gdb, and which program it is about. A session is compared with the same words typed
about the native program. `{guest}` is what it runs on; commands begin at the program's first instruction."""

BOTH = ("static", "dynamic")

# name, guest, kinds of linking, arguments, commands
SESSIONS = [
    ("breakpoints", "debug-basics", BOTH, "", """
        break add
        continue
        info registers rip
        backtrace
        info locals
        finish
        next
        next
        break factorial if n == 3
        delete 1
        continue
        backtrace
        info args
        up
        p x
        delete
        continue"""),
    ("registers", "debug-basics", BOTH, "", """
        break locate
        continue
        info registers rax rbx rcx rdx r12 r13 r14 r15 eflags cs ss ds es fs gs orig_rax
        stepi
        info registers eflags rip
        stepi 3
        x/3i $pc
        break half
        continue
        finish
        p $st0
        p $fctrl
        p $ftag
        p $fstat
        delete
        break mean
        continue
        p $mxcsr
        until 27
        p $xmm0.v2_double
        set var count = 2
        set $rax = 17
        p $rax
        set $xmm3.v2_double[0] = 2.5
        p $xmm3.v2_double
        set $eflags = 0x247
        p $eflags
        set $st1 = 7.25
        p $st1
        set $ymm3.v4_int64 = {1, -2, 3, -4}
        set $zmm4.v8_int64 = {1, 2, 3, 4, 5, 6, 7, -8}
        set $xmm17.v2_int64 = {9, -9}
        set $k3 = 0x123456789abc
        set $fs_base = $fs_base
        stepi
        p $ymm3.v4_int64
        p $zmm4.v8_int64
        p $xmm17.v2_int64
        p $k3
        delete
        continue"""),
    ("stepping", "debug-basics", BOTH, "", """
        break main
        continue
        next
        next
        step
        step
        step
        step
        next
        advance locate
        step 3
        finish
        until 49
        tbreak mean
        continue
        next 3
        info locals
        return
        kill"""),
    ("calls", "debug-basics", BOTH, "", """
        break locate
        continue
        print add(20, 22)
        print total
        print factorial(6)
        print *p
        set var p->x = 100
        print locate(p)
        call (void)add(1, 1)
        print total
        print $_exitcode
        delete
        continue
        print $_exitcode"""),
    ("watchpoints", "debug-basics", BOTH, "", """
        break main
        continue
        watch total
        continue
        continue
        delete 2
        rwatch table[4]
        continue
        continue
        delete 3
        watch text
        continue
        delete 4
        awatch ratio
        continue
        continue
        delete
        continue"""),
    ("local-watch", "debug-basics", BOTH, "", """
        break mean
        continue
        next
        watch sum
        continue
        continue
        continue
        continue
        info watchpoints
        delete
        continue"""),
    ("conditions", "debug-basics", BOTH, "", """
        break add if a > 5 && b < 5
        continue
        info args
        hbreak factorial if n % 4 == 1
        continue
        info args
        condition 2 n == 9
        continue
        info args
        info breakpoints
        delete
        continue"""),
    ("memory", "debug-basics", BOTH, "", """
        break mean
        continue
        p values[1]
        p table
        x/4gd table
        x/2i add
        set var table[2] = -5
        p table[2]
        p text
        set var text = "changed"
        p (char *)text
        x/s text
        p *values@3
        p $_siginfo.si_signo
        x/1xb 16
        find &text, +32, 'c'
        delete
        continue"""),
    ("calls-caught", "debug-basics", BOTH, "", """
        break mean
        continue
        catch syscall write
        continue
        p $orig_rax
        p $rax
        p $rdi
        continue
        p (long)$rax > 10
        delete
        catch syscall exit_group
        continue
        info registers orig_rax
        continue"""),
    ("threads", "debug-threads", ("dynamic", "static"), "", """
        break work
        continue
        p amount > 0
        info symbol $pc
        p $_inferior_thread_count
        delete
        break finished
        continue
        p counter
        p $_thread
        info threads
        up
        info locals
        delete
        continue"""),
    ("thread-steps", "debug-threads", ("dynamic",), "", """
        break work
        continue
        set scheduler-locking on
        finish
        next
        next
        set scheduler-locking off
        delete
        continue"""),
    ("signals", "debug-signals", BOTH, "", """
        continue
        info symbol $pc
        p $_siginfo.si_signo
        p $_siginfo.si_code
        break count
        continue
        backtrace 2
        finish
        handle SIGUSR2 nostop noprint pass
        delete
        break marker
        continue
        p hits
        continue
        p $_siginfo.si_signo
        p $_siginfo._sifields._sigfault.si_addr
        info symbol $pc
        continue
        p faults
        continue
        delete
        continue"""),
    ("signals-dropped", "debug-signals", BOTH, "", """
        handle SIGUSR1 stop print nopass
        handle SIGUSR2 nostop noprint nopass
        handle SIGSEGV nostop noprint pass
        continue
        break marker
        continue
        p hits
        signal SIGUSR1
        p hits
        delete
        continue"""),
    ("signal-steps", "debug-signals", ("static",), "", """
        break marker
        handle SIGUSR1 nostop noprint pass
        handle SIGUSR2 nostop noprint pass
        continue
        next
        next
        next
        handle SIGSEGV stop print pass
        continue
        set print frame-arguments none
        stepi
        info symbol $pc
        backtrace 1
        delete
        continue"""),
    ("killed", "debug-basics", ("static",), "", """
        break mean
        continue
        signal SIGTERM
        p $_exitsignal"""),
    ("fork-child", "debug-signals", BOTH, "", """
        handle SIGUSR1 nostop noprint pass
        handle SIGUSR2 nostop noprint pass
        handle SIGSEGV nostop noprint pass
        set follow-fork-mode child
        catch fork
        continue
        break marker if faults > 0
        continue
        print hits
        next
        print $_inferior
        delete
        continue"""),
    ("fork-parent", "debug-signals", BOTH, "", """
        handle SIGUSR1 nostop noprint pass
        handle SIGUSR2 nostop noprint pass
        handle SIGSEGV nostop noprint pass
        catch fork
        continue
        break marker
        continue
        print status
        up
        print status
        delete
        continue"""),
    ("executions", "debug-signals", ("static",), "exec", """
        handle SIGUSR1 nostop noprint pass
        handle SIGUSR2 nostop noprint pass
        handle SIGSEGV nostop noprint pass
        break main
        continue
        catch exec
        continue
        info symbol $pc
        continue
        p argc
        continue"""),
]
