# The whole language of bash in one script. Everything printed is the same in every run.
section() { printf '== %s\n' "$*"; }

section parameters
echo "$# <$1> <$2> ${@: -1} ${*@Q}"
text="The Glass Case"
echo "${#text} ${text:4:5} ${text: -4} ${text/Glass/Crystal} ${text//s/z} ${text#* } ${text##* } ${text% *} ${text%% *}"
echo "${text,,} ${text^^} ${text,} ${text~~} ${unset:-default} ${unset:=assigned} ${unset:+present} ${!te*}"
name=text; echo "${!name}"; declare -n reference=text; reference+=" Again"; echo "$text"
echo "${text@U} ${text@Q}" $'tab\there \x41 \u20ac' "${#}"

section arrays
array=(one "two words" three [7]=seven)
array+=(eight)
echo "${#array[@]} ${!array[*]} ${array[1]} ${array[@]:1:2} ${array[-1]}"
unset 'array[0]'; echo "${array[*]}"; printf '<%s>' "${array[@]}"; echo
declare -A colour=([red]=ff0000 [green]=00ff00 ["deep blue"]=0000ff)
colour[white]=ffffff
for key in $(printf '%s\n' "${!colour[@]}" | sort | tr ' ' _); do echo "$key=${colour[${key//_/ }]}"; done
[[ -v colour[red] ]] && echo has red; echo "${#colour[@]}"
mapfile -t lines < <(seq 5 9); echo "${lines[@]/#/n}" "${lines[@]^}"
IFS=, read -ra parts <<< "a,b,,d"; echo "${#parts[@]} ${parts[3]}"
matrix=(); for ((i = 0; i < 3; i++)); do for ((j = 0; j < 3; j++)); do matrix[i * 3 + j]=$((i * j)); done; done; echo "${matrix[*]}"

section arithmetic
echo $((2 ** 40)) $((-7 / 2)) $((-7 % 3)) $((0xff ^ 2#1010)) $((16#beef)) $((017)) $((1 ? 2 : 3)) $((5 <= 5 && !0)) $((~0))
((x = 5, x += 3, x <<= 2, x++)); echo $x $((x--)) $x $((--x)); let "y = x * 3" z=y%7; echo $y $z
echo $((9223372036854775807 + 1)) $((x > 3 ? x & 6 : x | 1)) $(( (1 << 63) >> 63 ))
fibonacci() { local n=$1; ((n < 2)) && { echo "$n"; return; }; echo $(($(fibonacci $((n - 1))) + $(fibonacci $((n - 2))))); }
fibonacci 7

section control
for word in {a..e} {1..9..3} x{1,2}y; do printf '%s ' "$word"; done; echo
for ((i = 10; i > 0; i -= 3)); do ((i == 4)) && continue; echo -n "$i "; done; echo
until ((x < 1)); do ((x -= 9)); done; echo $x
case $text in *Glass*) echo glass ;;& *Case*) echo case ;& nothing) echo fell through ;; *) echo other ;; esac
select choice in first second; do echo "chose $choice"; break; done <<< 2 2> /dev/null
while read -r first rest; do echo "[$first] [$rest]"; done
if [[ $text =~ ^The\ ([A-Z][a-z]+)\ (.*)$ ]]; then echo "${BASH_REMATCH[1]}|${BASH_REMATCH[2]}"; fi
[[ abc < abd && ! -e /nowhere && 10 -gt 9 && abc == a?c ]] && echo compared
shopt -s extglob nullglob; for w in foo.txt bar.log; do [[ $w == @(*.txt|x) ]] && echo "matches $w"; done
echo "${text//+([a-z])/-}" none*here; shopt -u nullglob
for f in tree/*; do echo "$f"; done; shopt -s globstar; echo tree/**/*.c

section functions
outer() { local v=outer; inner; echo "$v ${FUNCNAME[0]} $#"; return 5; }
inner() { v=changed; echo "${FUNCNAME[1]}"; }
outer a b; echo "status $?"
recurse() { (($1 > 0)) && recurse $(($1 - 1)) || echo bottom; }; recurse 50
declare -f inner | head -n 2; type -t inner cd cat if
printf -v formatted '%05d|%-6s|%x|%q|%8.3f|%b' 42 ab 255 'a b' 3.14159 'x\ty'; echo "$formatted"
printf '%s-%s\n' 1 2 3 4; printf '%(%Y-%m-%d)T\n' 1582230020

section redirection
{ echo out; echo err >&2; } 2>&1 | sort
exec 3> three; echo to three >&3; exec 3>&-; cat < three; cat <<< "here string $((1 + 1))"
cat <<'END' - <(echo from process)
literal $HOME
END
cat <<END
expanded ${array[1]} $(echo nested "$(echo twice)")
END
tee >(tr a-z A-Z > upper) <<< shout > /dev/null; sleep 0.1; cat upper
diff <(seq 1 5) <(seq 2 6); echo "diff $?"
echo one > clobber; set -C; (echo two > clobber) 2> /dev/null || echo kept; set +C; echo three >> clobber; cat clobber
coproc upper { tr a-z A-Z; }; echo spoken >&"${upper[1]}"; exec {upper[1]}>&-; read -r answer <&"${upper[0]}"; echo "$answer"; wait

section traps
trap 'echo "got USR1"' USR1; kill -USR1 $$; trap - USR1
trap 'echo "error on $LINENO"' ERR; false; trap - ERR
(trap 'echo subshell ends' EXIT; exit 4); echo "status $?"
debug() { echo "debug: $BASH_COMMAND"; }; trap debug DEBUG; : one; trap - DEBUG
bash -c 'trap "echo term; exit 3" TERM; kill -TERM $$; echo never' ; echo "status $?"
{ bash -c 'kill -ABRT $$'; } 2> /dev/null; echo "status $?"

section jobs
(sleep 0.05; exit 3) & a=$!; (exit 5) & b=$!
wait $a; echo "first $?"; wait $b; echo "second $?"
for i in 3 1 2; do (sleep 0.0$i; echo "job $i" > job.$i) & done; wait; cat job.*
sleep 20 & kill $!; wait $! 2> /dev/null; echo "killed $?"
seq 1 1000 | while read -r n; do ((sum += n)); ((n == 1000)) && echo "sum $sum"; done
echo piped | { read -r word; echo "$word" | rev; } | cat; echo "${PIPESTATUS[@]}"
(( SECONDS < 100 )) && echo "$BASHPID" | grep -c '[0-9]'

section options
set -- -a -b value --; while getopts ab: option; do echo "$option ${OPTARG-}"; done
set -f; echo *; set +f; (set -e; false; echo never); echo "status $?"; (set -o noexec; echo never)
eval 'echo evaluated $((6 * 7))'; source /dev/stdin <<< 'echo sourced'; command echo command; builtin echo builtin
alias shout='echo SHOUT'; shopt -s expand_aliases; eval 'shout'; hash -r; umask; ulimit -c > /dev/null; times > /dev/null
exit 23
