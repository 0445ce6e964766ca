package main

type block struct {
	inputs  string
	sources string
}

// Every expression of a block is evaluated on every input of it.
var blocks = []block{
	{"f i nan inf fs one no nil s b l m", `
result
result == true
result < 1
result >= 0.25
result == nil
result[0]
result[-1]
result[0] < 1
result.count
result.missing
len(result)
asFloat(result) < 1
asInt(result) == 3
isNaN(result)
isInf(result)
2 in result
all(result, # < 4)
sum(result)
max(result)
result + 1
-result
not result
result ?? 7
result ? 1 : 2
string(result)
toJSON(result)
type(result)
`},
	{"m", `
result.ok
result.ok and result.count > 2
result.count + 1
result.count / 2
result.count % 2
result.rate * 100
result.name == "web"
result.name + "-1"
result.name startsWith "w"
result.name matches "^w.b$"
result.name contains "e"
result.name in ["web", "api"]
result.none ?? "default"
result.none?.deeper
result?.none?.deeper
result.none.deeper
result.missing.deeper
result["name"]
result["na" + "me"]
"name" in result
"nome" in result
result.list[1]
result.list[5]
result.list[-1]
result.list[-4]
result.list[0:2]
result.list[1:]
result.list[:1]
result.list[:-1]
sort(result.list)
sort(result.list, "desc")
reverse(result.list)
sum(result.list)
mean(result.list)
median(result.list)
max(result.list)
min(result.list, 0)
first(result.list)
last(result.list)
take(result.list, 2)
uniq(concat(result.list, [1, 2]))
result.pods[0].cpu
result.pods[1]["name"]
all(result.pods, .cpu < 1)
all(result.pods, {.cpu < 2})
all(result.pods, {#.cpu < 2})
any(result.pods, .name == "b")
none(result.pods, .cpu > 9)
one(result.pods, .cpu > 1)
filter(result.pods, .cpu > 1)
map(result.pods, .name)
map(result.pods, #.cpu * 2)
map(result.pods, #index)
count(result.pods, .cpu > 1)
find(result.pods, .cpu > 1).name
find(result.pods, .cpu > 9)
findIndex(result.pods, .cpu > 1)
findIndex(result.pods, .cpu > 9)
findLast(result.pods, .cpu > 0).name
findLastIndex(result.pods, .cpu > 0)
sum(result.pods, .cpu)
sortBy(result.pods, .cpu, "desc")[0].name
groupBy(result.pods, .name)
reduce(result.list, #acc + #, 0)
reduce(result.list, #acc + #)
keys(result) | sort()
len(result.pods)
len(result.name)
result.pods | filter(.cpu > 1) | map(.name)
let pods = result.pods; len(pods) > 1
let a = 1; let b = a + 1; a + b
result | toJSON() | fromJSON() == result
toPairs({"a": 1})
fromPairs([["a", 1]])
get(result, "name")
get(result.list, 1)
get(result, "missing")
result.list == [3, 1, 2]
result.list == [3.0, 1.0, 2.0]
result.name()
result.pods.name
result.count.x
result.name[0]
result.name[0:2]
result.ok > 1
result.name < 3
result.name > "a"
result.count > "2"
result.list > 1
result.count == "3"
result.ok == 1
result.count and true
!result.count
-result.name
result.list + 1
result.name - "w"
result.count in result.list
result.count not in result.list
result.name not contains "x"
asInt(result.name)
asFloat(result.name)
asInt(result.rate)
asInt(result.ok)
asFloat(result.none)
float(result.count)
int(result.rate)
abs(-result.rate)
ceil(result.rate)
floor(result.rate)
round(result.rate)
int("12") + 1
int("x")
float("1.5")
string(result.count)
result.count ** 2
result.count ^ 2
result.rate > 0.2 and result.rate < 0.3 or false
result.rate > 0.2 ? "high" : "low"
result.rate > 0.2 ? 1 : "low"
true ? result.name : result.count
`},
	{"n s", `
asInt(result)
asFloat(result)
asInt(result) > 41
int(result)
float(result)
upper(result)
lower("ABC")
trim("  a ")
trimPrefix(result, "he")
trimSuffix(result, "y")
split("a,b", ",")
splitAfter("a,b", ",")
join(["a", "b"], "-")
replace(result, "e", "E")
repeat("ab", 2)
indexOf(result, "a")
lastIndexOf(result, "h")
hasPrefix(result, "h")
hasSuffix(result, "y")
result == "healthy"
result != "healthy"
result in ["healthy", "fine"]
result matches "h.*y"
result matches "("
result contains 1
toBase64("abc")
fromBase64("YWJj")
`},
	{"f", `
1
1.5
"a"
'a'
nil
true
[]
{}
[1, "a"]
{"a": 1, b: 2}
{a: 1}.a
1 + 2 * 3
(1 + 2) * 3
7 / 2
6 / 2
7 % 3
7.5 % 3
1 / 0
1 % 0
2 ** 10
2 ** -1
2 ^ 3 ^ 2
-2 ** 2
1_000
0x10
0b11
0o17
1e3
.5
1 == 1.0
1 < 2.5
1 != 2
"a" == 1
nil == 1
nil < 1
true and 1
true and nil
1 and true
not 1
!true
not true or true
true || false && false
1 < 2 and 2 < 3
1..3
3..1
1..3 | map(# * 2)
[1, 2] + [3]
"a" + 1
"a" + "b"
1 + "a"
[1, 2] == [1, 2]
{"a": 1} == {"a": 1}
1 in [1, 2]
"a" in {"a": 1}
1 in "a"
1 not in [1]
true ? 1 : 2
nil ?? 1
nil ?? nil ?? 3
len("äö")
len(1)
len()
len([1], [2])
sum([])
mean([])
median([])
max()
max(1)
min(3, 2.5)
max(1, "a")
first([])
last([])
take([1], 5)
reduce([], #acc + #)
reduce([], #acc + #, 5)
all([], false)
any([], true)
map([1, 2], {# * 2})
filter([1, 2], 1)
count([true, false])
flatten([[1], [2, [3]]])
uniq([1, 1])
concat([1], [2])
sort(["b", "a"])
sort([2, "a"])
sortBy([2, 1], -#)
groupBy([1, 2, 3], # % 2 == 0)
keys({"a": 1})
values({"a": 1})
bitand(6, 3)
bitor(6, 3)
bitxor(6, 3)
bitnand(6, 3)
bitnot(1)
bitshl(1, 3)
bitshr(8, 2)
bitushr(8, 1)
abs(-3)
abs(-1.5)
abs("a")
ceil(1.2)
floor(1.8)
round(2.5)
round(-2.5)
int(1.9)
int(-1.9)
int("0x1")
float("x")
string(1.5)
string([1])
type(1)
type("a")
type([])
type({})
type(nil)
duration("1h30m")
duration("1h").Seconds()
duration("1h").Hours()
duration("90s").Minutes()
duration("x")
duration("1h") > duration("30m")
duration("1h") + duration("30m")
duration("1h") == duration("60m")
date("2023-08-14")
date("2023-08-14T10:00:00Z")
date("2023-08-14 00:00:00", "2006-01-02 15:04:05", "UTC")
date("2023-08-14 00:00:00", "2006-01-02 15:04:05", "Europe/Zurich")
date("2023-08-14") + duration("1h")
date("2023-08-14") - duration("1h")
date("2023-08-15") - date("2023-08-14")
date("2023-08-15") > date("2023-08-14")
date("2023-08-14").Year()
date("2023-08-14").Month()
date("2023-08-14").Day()
date("2023-08-14").Weekday()
date("2023-08-14").Unix()
date("2023-08-14").Format("2006-01-02")
date("x")
timezone("UTC")
now() - now() < duration("1s")
now() > date("2023-08-14")
unknown
unknown()
unknown.x
resultat
isNaN(1)
isNaN("a")
isNaN(0.0)
isInf(1.5)
asInt(1.9)
asInt("1.1")
asInt("12")
asInt(true)
asInt([1])
asFloat("1.5")
asFloat("a")
asFloat(nil)
asInt()
1 +
(1
[1
{a
"a
result ==
result = 1
1 2
a b
)
#
.5.5
1 ++ 2
let x = 1
let x = 1; x + 1
let x = result; x < 1
let len = 1; len
map([1], # + )
all([1])
all(1, true)
filter("ab", true)
1 > 0 > 2
1 < 2 == true
"\u00e9"
"a\nb"
` + "`a\\n`" + `
1; 2
if true { 1 } else { 2 }
result?.x
result.x
[1, 2, 3][1:2]
[1, 2, 3][5:9]
[1, 2, 3][2:1]
[1, 2, 3][-2:]
"hello"[1:3]
"hello"[9]
"hello"[0]
{"a": {"b": 1}}.a.b
{"a": nil}.a.b
{"a": nil}.a?.b
toJSON({"b": 1, "a": [1.5, nil]})
fromJSON("{\"a\": 1}").a
fromJSON("{")
trim("xax", "x")
upper("a")
lower(1)
split("a b c", " ", 2)
"a,b" | split(",") | len()
indexOf("abc", "z")
1 | max(2)
-1
+1
- -1
!!true
1 // comment
1 /* comment */ + 1
9223372036854775807
9223372036854775807 + 1
9223372036854775808
1e400
`},
	{"fs", `
result[0] < 1 and result[1] < 3
result[3]
all(result, {# > 0})
any(result, # > 2.5)
filter(result, # > 1)
map(result, # * 2)
count(result, # >= 2)
max(result) - min(result)
sum(result) / len(result)
mean(result) > 1
median(result)
sort(result)
reverse(result)
first(result)
result[0:2]
result == [0.5, 2, 3]
result[0] == "a"
result[0] contains "a"
result.x
"a" in result
0.5 in result
result + [1]
reduce(result, #acc * #, 1)
isNaN(result[0])
asInt(result[1])
len(result) == 3
`},
}
