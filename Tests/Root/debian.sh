# Runs inside a Debian root: natively by chroot(8) and by `vitrine run --root`. Both must print the same. With the word `plain` what
# needs the superuser is left out. What a root does not have (gcc, python3, apt) is left out as well.
export LC_ALL=C HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
has() { type -P "$1" > /dev/null && echo "## $2"; }
cd /
umask 022
rm -rf /tmp/*

echo '## bash'
echo "$BASH_VERSION"; for i in {1..3}; do echo $i; done | sort -r; cat <(echo process substitution); echo *; [[ -L /bin ]] && echo link
[[ /bin/bash -ef /usr/bin/bash ]] && echo the same; read -r line <<< word; echo "$line"; (exit 3); echo $?

if has apt-get apt; then
  # Its caches would be new files with other times.
  printf 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n' > /tmp/apt.conf; touch -d @0 /tmp/apt.conf; export APT_CONFIG=/tmp/apt.conf
  apt-get --version | head -2; apt-cache policy 2>&1 | head -3; apt-cache show bash 2>&1 | head -3; apt-config dump | wc -l
fi

echo '## dpkg'
dpkg -l | tail -n 3; dpkg -L bash | head -5; dpkg -S /bin/bash; dpkg-query -W -f '${Package} ${Status}\n' | md5sum; dpkg --verify bash | md5sum

echo '## perl'
perl -e 'print "$]\n"; opendir D, "/"; print join(" ", sort readdir D), "\n"; print `echo from a shell`;
  $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; sleep 5 }; print $@; print -l "/bin" ? "link\n" : "none\n"; print readlink "/bin", "\n"'

echo '## coreutils'
date -u -d @0; uname -m; sort --version | head -1; seq 5 | tac | paste -sd+; readlink -f /bin/sh; readlink -f /lib64/ld-linux-x86-64.so.2
stat -c '%n %F %a %s %h' /etc/passwd /bin /tmp /; df / > /dev/null; echo "df $?"; mktemp -u /tmp/aXXXX | wc -c
tar cf - /etc 2> /dev/null | tar tf - | wc -l; find / -xdev -type l 2> /dev/null | grep -Ev '^/(proc|dev)' | sort | md5sum
# Everything, as long as it is not the machine's.
ls -goR --time-style=+%s /bin/ /etc /home /lib/ /lib64/ /mnt /opt /root /run /sbin/ /srv /tmp /usr /var 2>&1 | grep -v '^total ' | md5sum
find /etc /usr -xdev -type f -exec md5sum {} + | sort -k 2 | md5sum; du -s --apparent-size /usr | cut -f 1

echo '## links'
ln -s /etc/debian_version /tmp/absolute; cat /tmp/absolute > /dev/null && echo absolute; readlink -f /tmp/absolute
ln -s ../../../../etc/passwd /tmp/up; head -1 /tmp/up; ln -s /tmp/loop /tmp/loop; cat /tmp/loop; cd /tmp; ln -s .. here; ls -d here/here/here/etc
cp -a /tmp/absolute /tmp/copy; readlink /tmp/copy; mv copy moved; ls -F /tmp; cd /

echo '## proc'
readlink /proc/self/exe /proc/self/cwd /proc/self/root; xargs -0 echo < /proc/self/cmdline; head -1 /proc/self/maps | sed 's/.* //'
cat /proc/self/comm; bash -c 'echo ${PPID//[0-9]*/number}; ls -l /proc/$$/fd/0 | sed "s/.*-> //"' < /dev/null; test -e /proc/1/x; echo $?
echo through > /dev/stdout; echo $(</dev/null); head -c 4 /dev/zero | od -An -c; cat /proc/self/mounts > /dev/null; echo $?

if [ "$1" != plain ]; then
  echo '## identity'
  id; whoami; getent passwd root; getent group tty; getent hosts localhost; touch /tmp/mine; stat -c '%u %g %U' /tmp/mine; chown 0:0 /tmp/mine; echo $?

  echo '## packages'
  mkdir -p /tmp/p/DEBIAN /tmp/p/opt/tiny; cd /tmp
  printf 'Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: tiny\n' > p/DEBIAN/control
  printf '#!/bin/sh\necho configured "$@"\nln -sf /opt/tiny/text /opt/link\n' > p/DEBIAN/postinst
  printf '#!/bin/sh\necho removed "$@"\nrm -f /opt/link\n' > p/DEBIAN/prerm
  chmod 755 p/DEBIAN/*inst p/DEBIAN/*rm; echo tiny > p/opt/tiny/text; ln -s text p/opt/tiny/link; ln p/opt/tiny/text p/opt/tiny/hard
  dpkg-deb --root-owner-group -b p tiny.deb; dpkg-deb -c tiny.deb | sed -E 's/ [0-9]{4}-[0-9-]* [0-9:]+ / /'; mkdir x; dpkg-deb -x tiny.deb x; find x | sort
  dpkg -i tiny.deb | grep -v Reading; dpkg -s tiny | head -2; cat /opt/link; stat -c '%h %U' /opt/tiny/text
  dpkg -i tiny.deb | grep -v Reading; dpkg -r tiny | grep -v Reading; dpkg -P tiny 2>&1; ls /opt; cd /
  cat /var/lib/dpkg/status | md5sum
fi

if has gcc gcc; then
  cd /tmp
  printf '#include <stdio.h>\n#include <pwd.h>\nint main(){puts(getpwuid(0)->pw_name);return 3;}\n' > t.c
  gcc -O2 t.c -o t && ./t; echo $?; g++ --version > /dev/null 2>&1; printf 'all: a b\na b:\n\techo $@\n' > m; make -s -j2 -f m 2>&1 | sort; cd /
fi

if has python3 python; then
  python3 -S -c 'import os, subprocess, tempfile, pwd
print(os.getcwd(), pwd.getpwuid(0).pw_dir, subprocess.check_output(["ls", "/"]).split(), os.path.realpath("/bin/sh"), tempfile.gettempdir())
print(sorted(os.listdir("/proc/self"))[:5], os.readlink("/proc/self/cwd"))'
  python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, 2]))' 2>&1 | tail -1
  python3 -c 'import venv' 2> /dev/null && python3 -m venv --without-pip /tmp/v && /tmp/v/bin/python -c 'import sys; print(sys.prefix)'
fi

echo '## end'
rm -rf /tmp/*
