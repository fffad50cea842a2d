"""The file formats that can be loaded: each opens a file and cuts it into parts that workers read side by side."""
