"""THE WATCHER: reads the fleet's collected journal, and alerts whoever looks after it.

Nothing a visitor said can leave here: an alert is made of checked names, numbers and fixed texts.
"""
