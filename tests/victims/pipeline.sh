# A shell that forks all the time: pipelines, command substitution, here-documents, a trap, background jobs.
wrong() { echo "WRONG $*"; exit 1; }
rounds=0
trap 'trapped=1' USR1
echo ready
while :; do
    got=$(printf 'one two three\nfour\n' | tr ' ' '\n' | sed 's/^t/T/' | sort | tr '\n' ,)
    [ "$got" = "Three,Two,four,one," ] || wrong "pipeline: $got"
    got=$(cat <<END | wc -c
$rounds of them
END
    )
    [ "$got" -eq $((${#rounds} + 9)) ] || wrong "here-document: $got"
    (exit 7) && wrong "exit status"
    [ $? -eq 7 ] || wrong "exit status $?"
    true & one=$!
    (exit 3) & two=$!
    wait $one || wrong "background"
    wait $two
    [ $? -eq 3 ] || wrong "background status"
    trapped=
    kill -USR1 $$
    [ "$trapped" = 1 ] || wrong "trap"
    sum=0
    for n in 1 2 3 4 5 6 7 8 9 10; do sum=$((sum + n)); done
    [ $sum = 55 ] || wrong "sum $sum"
    rounds=$((rounds + 1))
    echo $rounds
    [ -e "$1" ] || break
done
echo SOUND $rounds
