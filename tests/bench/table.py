#!/usr/bin/env python3
"""Runs milepost's load program and, in turn, the peers on the same workloads; prints one table of ratios.

    tests/bench/table.py --peers DIR [--rounds 5] [--row N]... [--peer NAME]... [--workload W1]...

DIR holds the peers' `run.py` and `workload.py`; $PEERS_DIR (by default "peers-bench" in the system's temporary folder)
holds what they installed and, in `data`, the workloads W1.bin and W3.bin. Without --peers only milepost is measured,
against the servers that do nothing. Figures are medians over the rounds; a peer's own figure is a median already.
"""
import argparse, collections, json, os, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PEERS_DIR = os.environ.get('PEERS_DIR') or os.path.join(tempfile.gettempdir(), 'peers-bench')
WORKLOADS = ('W1', 'W4', 'W3')
UNITS = {'M pts/s': 1, 'ms': 1, 's': 1e3, 'B/pt': 1, 'q/s': 1}

NETWORKED = ('victoriametrics', 'questdb', 'postgres')
# Whose totals are right after points were written again, without loading series anew.
RIGHT = ('clickhouse', 'clickhouse_replacing', 'questdb', 'duckdb', 'postgres')

# Rows that one run of the load program measures together.
GROUPS = {1: (1, 2), 3: (3,), 4: (4,), 5: (5, 6), 8: (8, 9, 10), 11: (11,), 12: (12,), 13: (13,), 14: (14,),
          16: (16,)}


class Figures(collections.defaultdict):
    """Medians by name: ours by (row, what), a peer's by (peer, workload, figure)."""
    def __init__(self): super().__init__(list)
    def of(self, *name): return statistics.median(self[name]) if self.get(name) else None


def ours(figures, rows, data):
    rows = [word for row in rows for word in ('--row', str(row))]
    command = ['cargo', 'bench', '--quiet', '--bench', 'load', '--', '--json', *rows]
    if data: command += ['--data', data]
    for line in subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        figure = json.loads(line)
        figures[figure['row'], figure['what']].append(figure['value'])


def number(text):
    """A peer's figure in our units; None where it has none."""
    value, _, unit = text.partition(' ')
    try: return float(value) * UNITS[unit]
    except (KeyError, ValueError): return None


def peer(figures, harness, name, workload):
    python = os.path.join(PEERS_DIR, 'venv', 'bin', 'python')
    command = [python, os.path.join(harness, 'run.py'), '--peer', name, '--workload', workload]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode: print('%s failed on %s' % (name, workload), file=sys.stderr)
    for line in run.stdout.splitlines():
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if len(cells) < 4 or cells[0] != name: continue
        figure, value = cells[2], cells[3]
        if figure.startswith('W4.'): figure, value = 'W4', value.removeprefix('right after ')
        if (value := number(value)) is not None: figures[name, workload, figure].append(value)


def best(figures, workload, figure, most, among=None):
    """The best peer's figure, and its name. A name of a figure stands for all that begin with it."""
    found = [(statistics.median(values), name[0]) for name, values in figures.items()
             if len(name) == 3 and name[1] == workload and name[2].startswith(figure)
             and (among is None or name[0] in among)]
    return (max if most else min)(found) if found else (None, None)


def table(figures):
    """(row, what of ours, reach, against, more is better) of every line."""
    w = lambda workload, figure, most, among=None: best(figures, workload, figure, most, among)
    own = lambda row, what: (figures.of(row, what), what)
    large = 'a. ingest, batches of 43824'
    small = '1 point each for 1,000 series, %s: '
    ten = '10 points a call, %s: '
    lines = [
        (1, 'ingest, durable', 1.5, w('W1', large, True, NETWORKED), True),
        (1, 'ingest, durable', 1, w('W1', large, True, ('duckdb',)), True),
        (1, 'ingest, durable', .35, own(1, 'null sink'), True),
        (2, 'with corrections', .7, own(1, 'ingest, durable'), True),
    ]
    for ids in ('no ids', 'an id each'):
        lines += [(3, small % ids + 'milepost', .35, own(3, small % ids + 'null sink'), True),
                  (3, ten % ids + 'milepost', .35, own(3, ten % ids + 'null sink'), True),
                  (3, ten % ids + 'milepost', .5, own(3, 'empty echo, 64 callers'), True)]
    lines += [
        (4, 'W1, series order', 1, w('W1', 'b. on disk', False), False),
        (4, 'W1, time order', 1, w('W1', 'b. on disk', False), False),
        (4, 'W3', 1, w('W3', 'b. on disk', False), False),
        (5, 'GetTotal at random instants, 64 in flight', .7, own(5, 'empty echo, 64 in flight'), True),
        (6, '20 milestones, the same each call, 64 in flight', .5, own(5, 'empty echo, 64 in flight'), True),
        (6, '20 random milestones, 64 in flight', .2, own(5, 'empty echo, 64 in flight'), True),
        (8, 'total of 200 series', 10, w('W1', 'd. total up to T, all', False), False),
        (8, 'first crossing of 200 series', 20, w('W1', 'e. first instant at half, all', False), False),
        (8, 'total of 10,000 series', 1, (50, 'the bound, 50 ms'), False),
        (8, '20 milestones of 10,000 series', 1, (500, 'the bound, 500 ms'), False),
        (9, 'Weeks in UTC, one series', 5, w('W1', 'c. weekly sums, one', False), False),
        (9, 'Weeks in UTC, one series, the same again', 5, w('W1', 'c. weekly sums, one', False), False),
        (9, 'Weeks in UTC, 200 series', 5, w('W1', 'c. weekly sums, all', False), False),
        (9, 'Weeks in UTC, 200 series, the same again', 5, w('W1', 'c. weekly sums, all', False), False),
        (9, 'Months in Europe/London, one series', 1 / 1.5, own(9, 'Weeks in UTC, one series'), False),
        (9, 'Months in Europe/London, 200 series', 1 / 1.5, own(9, 'Weeks in UTC, 200 series'), False),
        (10, 'ReadPoints, one connection', .5, own(10, 'null source'), True),
        (11, 'late points into one long series, 64 in flight', 1, (5000, 'the bound, 5,000 a second'), True),
        (11, '1,000 corrections, then the total over all (W4)', 10, w('W4', 'W4', False, RIGHT), False),
        (12, 'a million series, 20 pushes', .25, own(12, 'null sink'), True),
        (12, 'memory, most', 1, (1.5, 'the bound, 1.5 GB'), False),
        (12, 'ready after kill -9', 1, (5, 'the bound, 5 s'), False),
        (12, 'ready with the index gone', 1, (60, 'the bound, 60 s'), False),
        (14, 'p99 of GetTotal beside a writer', .1, own(14, 'p99 of GetTotal, idle'), False),
    ]
    print('| row | what | milepost | against | its figure | ratio | reach | |\n|---|---|---|---|---|---|---|---|')
    for row, what, reach, (theirs, whose), more in lines:
        value = figures.of(row, what)
        if value is None: continue
        if theirs is None:
            print('| %d | %s | %.4g | not measured | | | %.3g | |' % (row, what, value, reach)); continue
        ratio = value / theirs if more else theirs / value
        said = 'reached' if ratio >= reach else '**not reached**'
        print('| %d | %s | %.4g | %s | %.4g | %.3g | %.3g | %s |' % (row, what, value, whose, theirs, ratio, reach, said))
    print('\nEvery figure:\n\n| row | what | median | lowest | highest |\n|---|---|---|---|---|')
    for name, values in sorted(figures.items(), key=str):
        print('| %s | %s | %.4g | %.4g | %.4g |' % (name[0], ', '.join(map(str, name[1:])), statistics.median(values),
                                                   min(values), max(values)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--peers', metavar='DIR', help="where the peers' run.py is")
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--row', type=int, action='append', dest='rows', help='a row of the table; all, unless said')
    parser.add_argument('--peer', action='append', dest='names', help='a peer; all, unless said')
    parser.add_argument('--workload', action='append', dest='workloads', choices=WORKLOADS,
                        help='what peers are measured on; all, unless said')
    args = parser.parse_args()
    groups = [group for group, rows in GROUPS.items() if not args.rows or set(rows) & set(args.rows)]
    names = args.names or ['clickhouse', 'clickhouse_rollup', 'clickhouse_replacing', 'victoriametrics', 'questdb',
                           'duckdb', 'postgres']
    data = os.path.join(PEERS_DIR, 'data')
    figures = Figures()
    for _ in range(args.rounds):
        ours(figures, groups, data if os.path.exists(os.path.join(data, 'W1.bin')) else None)
        for name in names if args.peers else ():
            for workload in args.workloads or WORKLOADS:
                # As the peers' own all.sh: too long, or the same again.
                if (workload, name) in (('W3', 'postgres'), ('W3', 'clickhouse_replacing')): continue
                peer(figures, args.peers, name, workload)
    table(figures)


if __name__ == '__main__':
    main()
