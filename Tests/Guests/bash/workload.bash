# Bash as a programming language: sieve, sorting, towers, text statistics, a small calculator, matrices, life.
limit=1200; composite=(); primes=()
for ((i = 2; i <= limit; i++)); do
  ((composite[i])) && continue
  primes+=("$i")
  for ((k = i * i; k <= limit; k += i)); do composite[k]=1; done
done
echo "${#primes[@]} primes, last ${primes[-1]}"

state=88172645463325252
number() { ((state ^= state << 13, state ^= (state >> 7) & 0x1ffffffffffffff, state ^= state << 17)); }
values=(); for ((i = 0; i < 60; i++)); do number; values+=($((state % 1000))); done
for ((i = 1; i < ${#values[@]}; i++)); do
  v=${values[i]}
  for ((k = i - 1; k >= 0 && values[k] > v; k--)); do values[k + 1]=${values[k]}; done
  values[k + 1]=$v
done
echo "${values[*]}"

moves=0; hanoi() { (($1 == 0)) && return; hanoi $(($1 - 1)) "$2" "$4" "$3"; ((moves++)); hanoi $(($1 - 1)) "$4" "$3" "$2"; }
hanoi 7 A C B; echo "$moves moves"

declare -A count
while read -ra words; do for word in "${words[@]}"; do word=${word,,}; word=${word%.}; ((count[$word]++)); done; done < prose.txt
for word in "${!count[@]}"; do echo "${count[$word]} $word"; done | sort -rn -k1,1 -k2 | head -n 5

calculate() {
  local token stack=()
  for token; do
    case $token in
      [+*/-]) stack[-2]=$((stack[-2] $token stack[-1])); unset 'stack[-1]' ;;
      *) stack+=("$token") ;;
    esac
  done
  echo "${stack[0]}"
}
set -f; calculate 3 4 + 5 '*' 7 - 2 /; set +f

width=16 height=8; cells=(); for ((i = 0; i < width * height; i++)); do number; cells[i]=$(((state >> 5) % 3 == 0)); done
for turn in 1 2; do
  next=()
  for ((y = 0; y < height; y++)); do
    for ((x = 0; x < width; x++)); do
      n=0
      for dy in -1 0 1; do for dx in -1 0 1; do
        ((dx || dy)) && ((n += cells[(y + dy + height) % height * width + (x + dx + width) % width]))
      done; done
      ((next[y * width + x] = n == 3 || (n == 2 && cells[y * width + x])))
    done
  done
  cells=("${next[@]}")
done
for ((y = 0; y < height; y++)); do row="${cells[*]:y * width:width}"; row=${row// /}; row=${row//0/.}; echo "${row//1/#}"; done

text=; for ((i = 0; i < 300; i++)); do number; printf -v hex %x $((state & 255)); text+=$hex; done
reversed=; for ((i = ${#text} - 1; i >= 0; i--)); do reversed+=${text:i:1}; done
echo "${#text} ${reversed:0:40}"
